//! The small pieces of which every place is made.

use std::fmt::Write as _;

use maud::{Markup, PreEscaped, Render, html};
use qrcodegen::{QrCode, QrCodeEcc};
use wopr_p2p_core::access::{Capability, SessionName, SessionSet};
use wopr_p2p_core::keys::PublicKey;
use wopr_p2p_core::time::WallTime;
use wopr_p2p_smol::utc;

use super::View;
use crate::command::Names;
use crate::output::printable::is_invisible;
use crate::output::relative;

/// The longest remote text on one of the lists, in characters.
const SHORT: usize = 400;

/// Text that somebody else may have chosen: escaped, and with its control characters shown instead of at work.
pub(super) struct Visible<'a>(pub(super) &'a str);

impl Render for Visible<'_> {
    fn render_to(&self, out: &mut String) {
        let mut rest = self.0;
        while let Some((at, control)) = rest.char_indices().find(|(_, c)| is_invisible(*c) && !matches!(c, '\n' | '\t'))
        {
            rest[..at].render_to(out);
            html! { span.control title="an invisible character" { (format!("U+{:04X}", u32::from(control))) } }
                .render_to(out);
            rest = &rest[at + control.len_utf8()..];
        }
        rest.render_to(out);
    }
}

/// The beginning of a remote text, set apart from ours whatever its direction is.
pub(super) fn remote(text: &str) -> Markup {
    let end = text.char_indices().nth(SHORT).map(|(end, _)| end);
    html! { bdi.remote { (Visible(&text[..end.unwrap_or(text.len())])) @if end.is_some() { "…" } } }
}

/// A time as one says it, with the exact one behind it.
pub(super) fn time(at: WallTime, now: WallTime) -> Markup {
    let iso = utc::iso(at);
    html! { time datetime=(iso) title=(iso) { (relative(at, now)) } }
}

/// A peer by the owner's name, and its short id.
pub(super) fn who(names: &Names, key: &PublicKey) -> Markup {
    html! {
        span.who {
            @if let Some(name) = names.name(key) { bdi.name { (Visible(name)) } " " }
            code title=(key) { (key.short_id()) }
        }
    }
}

/// A whole key, to be copied.
pub(super) fn key(key: &PublicKey) -> Markup {
    html! { span.copyable { code { (key) } button.small type="button" data-copy=(key) { "Copy" } } }
}

/// A session as a chip.
pub(super) fn session(name: &SessionName) -> Markup {
    html! { span.chip { bdi { (Visible(name.as_str())) } } }
}

/// Sessions as chips.
pub(super) fn sessions(set: &SessionSet) -> Markup {
    match set {
        SessionSet::All => html! { span.chip.wide { "all sessions" } " " },
        SessionSet::Named(names) => html! {
            @for name in names { (session(name)) " " }
        },
    }
}

/// Capabilities as chips.
pub(super) fn capabilities(capabilities: &[Capability]) -> Markup {
    let means = |capability: &Capability| match (capability.allows_inject(), capability.allows_log()) {
        (true, true) => "may ask the AI, and leave messages",
        (true, false) => "may ask the AI, within this limit",
        (false, _) => "may leave messages",
    };
    html! { @for capability in capabilities { span.chip.may title=(means(capability)) { (capability.as_str()) } " " } }
}

/// What there is to say where nothing is.
pub(super) fn empty(what: &str, next: impl Render) -> Markup {
    html! { div.empty { p { (what) } p.dim { (next) } } }
}

/// A button that does one thing. `label` says to whom, for those who hear the page.
pub(super) struct Button<'a> {
    pub(super) action: &'a str,
    pub(super) fields: &'a [(&'a str, &'a str)],
    pub(super) text: &'a str,
    pub(super) label: &'a str,
    pub(super) class: &'a str,
}

impl View {
    /// The form of a button.
    pub(super) fn button(&self, button: &Button<'_>) -> Markup {
        let Button { action, fields, text, label, class } = button;
        html! {
            form.inline method="post" action={ (self.visitor.base()) "/do" } {
                (self.hidden(action))
                @for (name, value) in *fields { input type="hidden" name=(name) value=(value); }
                button class=(class) aria-label={ (text) " " (label) } { (text) }
            }
        }
    }

    /// A form with fields to fill in.
    pub(super) fn form(&self, action: &str, content: &Markup) -> Markup {
        html! {
            form.fill method="post" action={ (self.visitor.base()) "/do" } autocomplete="off" {
                (self.hidden(action))
                (content)
            }
        }
    }

    fn hidden(&self, action: &str) -> Markup {
        html! {
            input type="hidden" name="form" value=(self.visitor.form.as_str());
            input type="hidden" name="do" value=(action);
            input type="hidden" name="back" value=(self.place);
        }
    }

    /// The known peers, for fields that take one.
    pub(super) fn known_peers(&self) -> Markup {
        html! {
            datalist #known {
                @for peer in self.snapshot.peers.iter().take(200) {
                    option value=(peer.key) { (self.names.label(&peer.key)) }
                }
            }
        }
    }
}

/// A QR code as an inline picture; `None` if the text is too long for one.
pub(super) fn qr(text: &str, title: &str) -> Option<Markup> {
    let code = QrCode::encode_text(text, QrCodeEcc::Medium).ok()?;
    let size = code.size();
    let mut path = String::new();
    for y in 0..size {
        for x in (0..size).filter(|x| code.get_module(*x, y)) {
            // Writing into a string does not fail.
            write!(path, "M{},{}h1v1h-1z", x + 2, y + 2).ok();
        }
    }
    let whole = size + 4;
    Some(html! {
        svg.qr viewBox=(format!("0 0 {whole} {whole}")) role="img" aria-label=(title) shape-rendering="crispEdges" {
            rect width=(whole) height=(whole) fill="#fff" {}
            (PreEscaped(format!("<path d=\"{path}\" fill=\"#000\"/>")))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_elsewhere_is_escaped_and_its_control_characters_are_seen() {
        let shown = Visible("<script>\u{202e}\u{7}&\"ok\"\nline").render().into_string();
        assert!(!shown.contains("<script>") && shown.contains("&lt;script&gt;"), "{shown}");
        assert!(!shown.contains('\u{202e}') && shown.contains(">U+202E<") && shown.contains(">U+0007<"), "{shown}");
        assert!(shown.ends_with("&amp;&quot;ok&quot;\nline"), "{shown}");
    }

    #[test]
    fn a_long_remote_text_is_cut_between_characters() {
        let shown = remote(&"é".repeat(1000)).into_string();
        assert_eq!(shown.matches('é').count(), SHORT);
        assert!(shown.contains('…'));
    }

    #[test]
    fn a_qr_code_has_a_quiet_border_and_says_what_it_is() {
        let svg = qr("MCowBQYDK2VwAyEA", "the key").unwrap().into_string();
        assert!(svg.starts_with("<svg") && svg.contains("aria-label=\"the key\"") && svg.contains("M2,2h1"), "{svg}");
    }
}
