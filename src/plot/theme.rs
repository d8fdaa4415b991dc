//! Colours of the two themes. Knows hues and where each is used; draws nothing.

/// Which colours a figure is drawn in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Theme {
    /// Dark ink on white, for a file.
    Light,
    /// Light ink on near-black, for a file.
    Dark,
    /// The reader's choice, for an SVG inside a page that holds [`page_style`].
    Page,
}

/// The style sheet that a page with figures of [`Theme::Page`] holds once.
pub fn page_style() -> String {
    String::new()
}
