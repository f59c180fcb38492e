//! A text that must not be seen: the admin token.
//!
//! Kept out of every place where a setting is shown in passing: `Debug`, the refusal of a value of another kind, and (in
//! `source`) the line that a refusal shows. Not kept out of memory dumps: whoever reads this process's memory has the
//! file as well.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// A secret text. Printed with `{:?}`, it says only that there is one.
///
/// `==` is for comparing configurations. What a stranger sends is compared by code that takes the same time for every
/// answer, with [`Secret::expose`].
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(\u{2026})")
    }
}

impl<'de> Deserialize<'de> for Secret {
    /// A string. Values of other kinds are refused without being repeated, as serde would do: `token = 1234567890`
    /// is a token as well.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Secret;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Secret, E> {
                Ok(Secret(text.to_owned()))
            }

            fn visit_i64<E: Error>(self, _: i64) -> Result<Secret, E> {
                Err(unquoted())
            }

            fn visit_u64<E: Error>(self, _: u64) -> Result<Secret, E> {
                Err(unquoted())
            }

            fn visit_i128<E: Error>(self, _: i128) -> Result<Secret, E> {
                Err(unquoted())
            }

            fn visit_u128<E: Error>(self, _: u128) -> Result<Secret, E> {
                Err(unquoted())
            }

            fn visit_f64<E: Error>(self, _: f64) -> Result<Secret, E> {
                Err(unquoted())
            }
        }
        deserializer.deserialize_any(Text)
    }
}

fn unquoted<E: Error>() -> E {
    E::custom("a number; expected a string, in quotes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_in_its_debug_text() {
        let secret = Secret::from("correct horse".to_owned());
        assert_eq!(format!("{secret:?}"), "Secret(\u{2026})");
        assert_eq!(secret.expose(), "correct horse");
    }
}
