//! What every page has: a head, a heading, the metadata, and the ways on.

use std::fmt::Write as _;

use girih_model::Family;

use crate::format::{EncodeOptions, encoders};

/// Longest metadata that a page shows, in bytes.
const MAX_METADATA: usize = 64 << 10;

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;padding:0 1rem;max-width:75rem}\
h1{font-size:1.3rem;overflow-wrap:anywhere}\
img{max-width:100%;min-width:16rem;image-rendering:pixelated;border:1px solid #8885}\
figure{margin:1rem 0}figcaption,p{color:GrayText}\
.rows{overflow-x:auto}\
table{border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums}\
th,td{border:1px solid #8885;padding:.2rem .6rem;text-align:right;white-space:pre}\
thead th{position:sticky;top:0;background:Canvas}\
pre{white-space:pre-wrap;overflow-wrap:anywhere}";

/// The page down to where the data begin. `summary` is one line about them.
pub(super) fn push_head(options: &EncodeOptions, summary: &str, out: &mut String) {
    let title = if options.title.is_empty() { "/" } else { &options.title };
    out.push_str("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    out.push_str("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>");
    push_escaped(title, out);
    let _ = write!(out, "</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>");
    push_escaped(title, out);
    out.push_str("</h1>\n<p>");
    push_escaped(summary, out);
    out.push_str("</p>\n");
    let metadata = options.metadata.text();
    if metadata != "{}" && metadata.len() <= MAX_METADATA {
        out.push_str("<details><summary>Metadata</summary><pre>");
        push_escaped(metadata, out);
        out.push_str("</pre></details>\n");
    }
}

/// The end of the page.
pub(super) fn push_foot(family: Family, out: &mut String) {
    let names = encoders(family).filter_map(|format| format.extensions().first());
    let names: Vec<String> = names.map(|name| format!("<code>format={name}</code>")).collect();
    let _ = write!(
        out,
        "<p>To get these data as a file, add to the address one of {}.</p>\n</body>\n</html>\n",
        names.join(", ")
    );
}

/// Text that cannot become markup.
pub(super) fn push_escaped(text: &str, out: &mut String) {
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Not allowed in HTML, not even escaped.
            '\0' => out.push(char::REPLACEMENT_CHARACTER),
            _ => out.push(character),
        }
    }
}

#[cfg(test)]
mod tests {
    use girih_model::Json;

    use super::*;

    #[test]
    fn nothing_becomes_markup() {
        let options = EncodeOptions {
            title: "<script>&\"'\0".into(),
            metadata: Json::parse(r#"{"a":"</pre><b>"}"#).unwrap(),
            ..EncodeOptions::default()
        };
        let mut out = String::new();
        push_head(&options, "1 < 2", &mut out);
        assert!(out.contains("<h1>&lt;script&gt;&amp;&quot;&#39;\u{fffd}</h1>\n<p>1 &lt; 2</p>"), "{out}");
        assert!(out.contains("<pre>{&quot;a&quot;:&quot;&lt;/pre&gt;&lt;b&gt;&quot;}</pre>"), "{out}");
    }

    #[test]
    fn the_ways_on_are_the_formats() {
        let mut out = String::new();
        push_foot(Family::Array, &mut out);
        assert!(out.contains("<code>format=csv</code>") && out.contains("<code>format=png</code>"), "{out}");
    }
}
