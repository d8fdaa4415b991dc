//! SVG into pixels. Knows one embedded typeface and asks the system for none, so equal drawings give equal pixels everywhere.

use resvg::{tiny_skia, usvg};
use std::sync::{Arc, LazyLock};

/// A drawing that could not become pixels.
#[derive(Debug, thiserror::Error)]
pub enum NoPixels {
    /// The text is no SVG.
    #[error("the drawing cannot be read: {0}")]
    Unreadable(#[from] usvg::Error),
    /// No picture has this size.
    #[error("a picture cannot be {width} × {height} pixels")]
    Size {
        /// Pixels asked for.
        width: u32,
        /// Pixels that follow from the drawing.
        height: u32,
    },
    /// The picture could not be packed.
    #[error("the picture cannot be written: {0}")]
    Packing(String),
}

static FONTS: LazyLock<Arc<usvg::fontdb::Database>> = LazyLock::new(|| {
    let mut fonts = usvg::fontdb::Database::new();
    for face in [
        epaint_default_fonts::UBUNTU_LIGHT,
        epaint_default_fonts::HACK_REGULAR,
    ] {
        fonts.load_font_data(face.to_vec());
    }
    let first = fonts.faces().next().and_then(|face| face.families.first());
    if let Some(family) = first.map(|(name, _)| name.clone()) {
        fonts.set_sans_serif_family(family);
    }
    Arc::new(fonts)
});

/// The drawing as PNG.
///
/// *Units* `width` in pixels; the height follows from the drawing's shape.
///
/// *Errors* text that is no SVG, a width of 0 or beyond 8,192.
pub fn png(svg: &str, width: u32) -> Result<Vec<u8>, NoPixels> {
    let options = usvg::Options {
        fontdb: FONTS.clone(),
        ..usvg::Options::default()
    };
    // The embedded face lacks this sign, and a sign that is lacking changes the face of the whole text.
    let svg = svg.replace('‖', "||");
    let tree = usvg::Tree::from_str(&svg, &options)?;
    let scale = width as f32 / tree.size().width();
    let height = (tree.size().height() * scale).ceil() as u32;
    let size = || NoPixels::Size { width, height };
    if width > 8192 || height > 32_768 {
        return Err(size());
    }
    let mut pixels = tiny_skia::Pixmap::new(width, height).ok_or_else(size)?;
    let place = tiny_skia::Transform::from_scale(scale, scale);
    resvg::render(&tree, place, &mut pixels.as_mut());
    pixels
        .encode_png()
        .map_err(|error| NoPixels::Packing(error.to_string()))
}
