//! What a key means.

use ratatui::crossterm::event::{Event as Input, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::model::{Action, Pane};

/// What the terminal told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// Something that the model understands.
    Action(Action),
    /// The screen has another size, or its content is gone.
    Redraw,
    /// Step behind the shell (Ctrl-Z).
    Suspend,
}

/// What an event of the terminal means; none where it means nothing.
pub(super) fn told(input: &Input) -> Option<Told> {
    match input {
        Input::Resize(..) => Some(Told::Redraw),
        Input::Key(key) if key.kind != KeyEventKind::Release => of_key(*key),
        _ => None,
    }
}

fn of_key(key: KeyEvent) -> Option<Told> {
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return match key.code {
            KeyCode::Char('c' | 'C') => Some(Told::Action(Action::Quit)),
            KeyCode::Char('l' | 'L') => Some(Told::Redraw),
            KeyCode::Char('z' | 'Z') => Some(Told::Suspend),
            _ => None,
        };
    }
    let action = match key.code {
        KeyCode::Char('q' | 'Q') => Action::Quit,
        KeyCode::Esc | KeyCode::Backspace => Action::Back,
        KeyCode::Up | KeyCode::Char('k') => Action::Up,
        KeyCode::Down | KeyCode::Char('j') => Action::Down,
        KeyCode::PageUp => Action::PageUp,
        KeyCode::PageDown => Action::PageDown,
        KeyCode::Enter => Action::Open,
        KeyCode::Tab | KeyCode::Right => Action::NextPane,
        KeyCode::BackTab | KeyCode::Left => Action::PreviousPane,
        KeyCode::Char(digit @ '1'..='4') => {
            let number = digit
                .to_digit(10)
                .and_then(|digit| usize::try_from(digit).ok())?;
            Action::Pane(Pane::ALL.into_iter().find(|pane| pane.number() == number)?)
        }
        KeyCode::Char('p' | ' ') => Action::Pause,
        KeyCode::Char('w') => Action::Window,
        KeyCode::Char('s') => Action::Sort,
        KeyCode::Char('?' | 'h') => Action::Help,
        _ => return None,
    };
    Some(Told::Action(action))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(code: KeyCode, modifiers: KeyModifiers) -> Option<Told> {
        told(&Input::Key(KeyEvent::new(code, modifiers)))
    }

    #[test]
    fn keys_mean_what_the_help_says() {
        let plain = KeyModifiers::NONE;
        for (code, action) in [
            (KeyCode::Char('q'), Action::Quit),
            (KeyCode::Esc, Action::Back),
            (KeyCode::Char('j'), Action::Down),
            (KeyCode::Up, Action::Up),
            (KeyCode::Enter, Action::Open),
            (KeyCode::Char('3'), Action::Pane(Pane::Findings)),
            (KeyCode::Tab, Action::NextPane),
            (KeyCode::Char('?'), Action::Help),
        ] {
            assert_eq!(key(code, plain), Some(Told::Action(action)), "{code:?}");
        }
        assert_eq!(key(KeyCode::Char('5'), plain), None);
        assert_eq!(key(KeyCode::F(1), plain), None);
    }

    #[test]
    fn control_keys_end_it_suspend_it_and_redraw_it() {
        let control = KeyModifiers::CONTROL;
        assert_eq!(
            key(KeyCode::Char('c'), control),
            Some(Told::Action(Action::Quit))
        );
        assert_eq!(key(KeyCode::Char('z'), control), Some(Told::Suspend));
        assert_eq!(key(KeyCode::Char('l'), control), Some(Told::Redraw));
        assert_eq!(key(KeyCode::Char('q'), control), None);
        assert_eq!(told(&Input::Resize(1, 1)), Some(Told::Redraw));
    }
}
