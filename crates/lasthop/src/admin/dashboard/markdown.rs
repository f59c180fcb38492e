//! A page of the documentation as HTML.
//!
//! The pages are our own and part of the program, so this is about form and not about safety; still, markup within one is
//! shown as text, because none of them has any. Links that lead to other findings lead to their pages here; a link to
//! elsewhere in the documentation, which this address does not serve, becomes its text.

use lasthop_ports::finding::ALL;
use pulldown_cmark::{CowStr, Event, Options, Parser, Tag, TagEnd, html};

use super::html::Html;

/// The HTML of a page below its title.
pub(super) fn html(text: &str) -> Html {
    let mut is_dropped = false;
    let body = match text.strip_prefix("# ") {
        Some(titled) => titled.split_once('\n').map_or("", |(_, body)| body),
        None => text,
    };
    let events = Parser::new_ext(body, Options::ENABLE_TABLES).filter_map(|event| match event {
        Event::Html(text) | Event::InlineHtml(text) => Some(Event::Text(text)),
        // An image would have to be served from here as well.
        Event::Start(Tag::Image { .. }) | Event::End(TagEnd::Image) => None,
        Event::Start(Tag::Link {
            link_type,
            dest_url,
            title,
            id,
        }) => {
            let dest_url = destination(&dest_url);
            is_dropped = dest_url.is_none();
            Some(Event::Start(Tag::Link {
                link_type,
                dest_url: dest_url?,
                title,
                id,
            }))
        }
        // Links do not nest.
        Event::End(TagEnd::Link) if is_dropped => None,
        other => Some(other),
    });
    let mut page = String::with_capacity(text.len() * 2);
    html::push_html(&mut page, events);
    Html::of_document(page)
}

/// Where a link leads from here; none where it leads to a page that is not served here.
fn destination(link: &str) -> Option<CowStr<'static>> {
    let (page, _) = link.split_once('#').unwrap_or((link, ""));
    if link.starts_with("https://") || link.starts_with('#') {
        return Some(link.to_owned().into());
    }
    let page = page.strip_prefix("./").unwrap_or(page);
    let page = page.strip_prefix("findings/").unwrap_or(page);
    let code = page.strip_suffix(".md")?;
    let is_code = ALL.iter().any(|it| it.as_str() == code);
    is_code.then(|| format!("/findings/{code}").into())
}

/// The first paragraph of a page, without its markup.
pub(super) fn summary(text: &str) -> String {
    let mut words = String::new();
    let mut is_within = false;
    for event in Parser::new(text) {
        match event {
            Event::Start(Tag::Paragraph) => is_within = true,
            Event::End(TagEnd::Paragraph) => break,
            Event::Text(text) | Event::Code(text) if is_within => words.push_str(&text),
            Event::SoftBreak | Event::HardBreak if is_within => words.push(' '),
            _ => {}
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_rendered_with_what_the_pages_use() {
        for (text, wanted) in [
            ("# Title\n\n## A `b`\n", "<h2>A <code>b</code></h2>\n"),
            (
                "```sh\nsysctl -w a=1 < b\n```\n",
                "<pre><code class=\"language-sh\">sysctl -w a=1 &lt; b\n</code></pre>\n",
            ),
            ("- a\n- b\n", "<ul>\n<li>a</li>\n<li>b</li>\n</ul>\n"),
            (
                "[x](https://example.com/)",
                "<p><a href=\"https://example.com/\">x</a></p>\n",
            ),
            ("[x](../ports.md#range)", "<p>x</p>\n"),
            ("[x](nothing-like-it.md)", "<p>x</p>\n"),
            ("[x](javascript:alert)", "<p>x</p>\n"),
            (
                "[x](ports-tight.md)",
                "<p><a href=\"/findings/ports-tight\">x</a></p>\n",
            ),
            (
                "a <script>b</script>",
                "<p>a &lt;script&gt;b&lt;/script&gt;</p>\n",
            ),
            (
                "<script>\nb\n</script>\n",
                "&lt;script&gt;\nb\n&lt;/script&gt;\n",
            ),
        ] {
            assert_eq!(html(text).as_str(), wanted, "{text}");
        }
        assert!(html("|a|\n|-|\n|b|\n").as_str().contains("<table>"));
    }

    #[test]
    fn a_page_is_summed_up_by_its_first_paragraph() {
        assert_eq!(
            summary("# Title\n\nSays `a` and\n*b*.\n\nMore.\n"),
            "Says a and b."
        );
        assert_eq!(summary("# Title\n"), "");
    }
}
