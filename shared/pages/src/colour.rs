//! A product's accent colour, corrected for contrast (WCAG 2.2: 1.4.3 and 1.4.11) in light and in dark. The
//! hue is the product's; the lightness gives way, in OKLab, where equal steps look equal.

use std::fmt;

/// The contrast that text needs against what it stands on (WCAG 2.2, 1.4.3).
pub const TEXT_CONTRAST: f64 = 4.5;
/// Thin light letters on a dark ground want a little more than they need.
const DARK_TEXT_CONTRAST: f64 = 6.0;
/// The contrast that the edge of a control needs (WCAG 2.2, 1.4.11).
pub const EDGE_CONTRAST: f64 = 3.0;

/// Of a product that names no colour, and of pages without a product.
const DEFAULT: Colour = Colour { red: 0x2f, green: 0x4b, blue: 0x6e };
const WHITE: Colour = Colour { red: 0xff, green: 0xff, blue: 0xff };
const BLACK: Colour = Colour { red: 0, green: 0, blue: 0 };

/// An sRGB colour of 8 bits a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Colour {
    red: u8,
    green: u8,
    blue: u8,
}

/// The accent in light and in dark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Palette {
    /// For a light page.
    pub light: Scheme,
    /// For a dark page.
    pub dark: Scheme,
}

/// What of a page has the accent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scheme {
    /// The page's ground.
    pub page: Colour,
    /// The ground of what lies on the page.
    pub surface: Colour,
    /// A surface with a breath of the accent.
    pub soft: Colour,
    /// The accent as text: readable on `page`, `surface` and `soft`.
    pub ink: Colour,
    /// The accent as the ground of a button, as near to the product's colour as can be seen.
    pub fill: Colour,
    /// Text on `fill`.
    pub on_fill: Colour,
    /// The edge of a button: seen against `page` and `surface` also where `fill` is not.
    pub edge: Colour,
}

impl Palette {
    /// The palette of a product whose colour is `#rrggbb`. What cannot be read as one is taken as none.
    pub fn of(colour: Option<&str>) -> Self {
        let accent = colour.and_then(Colour::parse).unwrap_or(DEFAULT);
        Self { light: Scheme::light(accent), dark: Scheme::dark(accent) }
    }
}

impl Scheme {
    fn light(accent: Colour) -> Self {
        let page = Colour { red: 0xf6, green: 0xf6, blue: 0xf4 };
        let fill = accent.until(Towards::Black, |colour| colour.contrast(WHITE) >= 1.3);
        Self::around(accent, fill, [page, WHITE], 0.07, (Towards::Black, TEXT_CONTRAST))
    }

    fn dark(accent: Colour) -> Self {
        let page = Colour { red: 0x11, green: 0x13, blue: 0x16 };
        let surface = Colour { red: 0x1a, green: 0x1d, blue: 0x21 };
        let fill = accent.until(Towards::White, |colour| colour.contrast(surface) >= EDGE_CONTRAST);
        Self::around(accent, fill, [page, surface], 0.12, (Towards::White, DARK_TEXT_CONTRAST))
    }

    fn around(accent: Colour, fill: Colour, grounds: [Colour; 2], breath: f64, ink: (Towards, f64)) -> Self {
        let [page, surface] = grounds;
        let soft = surface.mixed(accent, breath);
        let (way, contrast) = ink;
        let ink = accent
            .until(way, |ink| [page, surface, soft].iter().all(|ground| ink.contrast(*ground) >= contrast));
        let seen = grounds.iter().all(|ground| fill.contrast(*ground) >= EDGE_CONTRAST);
        // One of the two always reaches 4.58.
        let on_fill = if fill.contrast(WHITE) >= TEXT_CONTRAST { WHITE } else { BLACK };
        Self { page, surface, soft, ink, fill, on_fill, edge: if seen { fill } else { ink } }
    }
}

/// Which way a colour gives way.
#[derive(Debug, Clone, Copy)]
enum Towards {
    Black,
    White,
}

impl Colour {
    /// Reads `#rrggbb`.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.trim().strip_prefix('#')?;
        if digits.len() != 6 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let [_, red, green, blue] = u32::from_str_radix(digits, 16).ok()?.to_be_bytes();
        Some(Self { red, green, blue })
    }

    /// The contrast ratio with another colour, 1 to 21 (WCAG 2.2).
    pub fn contrast(self, other: Self) -> f64 {
        let (one, two) = (self.luminance(), other.luminance());
        (one.max(two) + 0.05) / (one.min(two) + 0.05)
    }

    fn luminance(self) -> f64 {
        let [red, green, blue] = self.linear();
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }

    /// Itself if it will do, else the first of the same hue on the way to black or white that does. The end
    /// of the way is taken as it is.
    fn until(self, way: Towards, will_do: impl Fn(Self) -> bool) -> Self {
        const STEPS: u8 = 100;
        let [lightness, a, b] = self.oklab();
        (0..STEPS)
            .map(|step| {
                let left = 1.0 - f64::from(step) / f64::from(STEPS);
                let lightness = match way {
                    Towards::Black => lightness * left,
                    Towards::White => 1.0 - (1.0 - lightness) * left,
                };
                if step == 0 { self } else { Self::of_oklab([lightness, a * left.sqrt(), b * left.sqrt()]) }
            })
            .find(|colour| will_do(*colour))
            .unwrap_or(match way {
                Towards::Black => BLACK,
                Towards::White => WHITE,
            })
    }

    /// This much of the other colour in this one, 0 to 1.
    fn mixed(self, other: Self, part: f64) -> Self {
        let mix =
            |one: u8, two: u8| byte(f64::from(one) / 255.0 * (1.0 - part) + f64::from(two) / 255.0 * part);
        Self {
            red: mix(self.red, other.red),
            green: mix(self.green, other.green),
            blue: mix(self.blue, other.blue),
        }
    }

    fn linear(self) -> [f64; 3] {
        [self.red, self.green, self.blue].map(|channel| {
            let channel = f64::from(channel) / 255.0;
            if channel <= 0.040_45 { channel / 12.92 } else { ((channel + 0.055) / 1.055).powf(2.4) }
        })
    }

    fn of_linear(linear: [f64; 3]) -> Self {
        let [red, green, blue] = linear.map(|channel| {
            byte(if channel <= 0.003_130_8 {
                channel * 12.92
            } else {
                1.055 * channel.powf(1.0 / 2.4) - 0.055
            })
        });
        Self { red, green, blue }
    }

    /// OKLab (Björn Ottosson, 2020).
    fn oklab(self) -> [f64; 3] {
        let cones = times(
            [
                [0.412_221_470_8, 0.536_332_536_3, 0.051_445_992_9],
                [0.211_903_498_2, 0.680_699_545_1, 0.107_396_956_6],
                [0.088_302_461_9, 0.281_718_837_6, 0.629_978_700_5],
            ],
            self.linear(),
        );
        times(
            [
                [0.210_454_255_3, 0.793_617_785_0, -0.004_072_046_8],
                [1.977_998_495_1, -2.428_592_205_0, 0.450_593_709_9],
                [0.025_904_037_1, 0.782_771_766_2, -0.808_675_766_0],
            ],
            cones.map(f64::cbrt),
        )
    }

    fn of_oklab(lab: [f64; 3]) -> Self {
        let cones = times(
            [
                [1.0, 0.396_337_777_4, 0.215_803_757_3],
                [1.0, -0.105_561_345_8, -0.063_854_172_8],
                [1.0, -0.089_484_177_5, -1.291_485_548_0],
            ],
            lab,
        );
        Self::of_linear(times(
            [
                [4.076_741_662_1, -3.307_711_591_3, 0.230_969_929_2],
                [-1.268_438_004_6, 2.609_757_401_1, -0.341_319_396_5],
                [-0.004_196_086_3, -0.703_418_614_7, 1.707_614_701_0],
            ],
            cones.map(|cone| cone.powi(3)),
        ))
    }
}

fn times(matrix: [[f64; 3]; 3], vector: [f64; 3]) -> [f64; 3] {
    matrix.map(|row| row.iter().zip(vector).map(|(factor, part)| factor * part).sum())
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to 0..=255 before the cast"
)]
fn byte(channel: f64) -> u8 {
    (channel.clamp(0.0, 1.0) * 255.0).round() as u8
}

impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{:02x}{:02x}{:02x}", self.red, self.green, self.blue)
    }
}

/// As CSS declarations of custom properties: hexadecimal digits and names of ours, nothing of a product's.
impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { page, surface, soft, ink, fill, on_fill, edge } = self;
        write!(
            f,
            "--page:{page};--surface:{surface};--soft:{soft};--ink:{ink};--fill:{fill};--on-fill:{on_fill};--edge:{edge}"
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The greys of the stylesheet, `--text` and `--muted`.
    const LIGHT_TEXT: [Colour; 2] =
        [Colour { red: 0x16, green: 0x1a, blue: 0x1f }, Colour { red: 0x52, green: 0x59, blue: 0x61 }];
    const DARK_TEXT: [Colour; 2] =
        [Colour { red: 0xec, green: 0xee, blue: 0xf0 }, Colour { red: 0xab, green: 0xb2, blue: 0xba }];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn any_colour_of_a_product_can_be_read(red: u8, green: u8, blue: u8) {
            let palette = Palette::of(Some(&Colour { red, green, blue }.to_string()));
            for (scheme, texts) in [(palette.light, LIGHT_TEXT), (palette.dark, DARK_TEXT)] {
                let Scheme { page, surface, soft, ink, fill, on_fill, edge } = scheme;
                prop_assert!(on_fill.contrast(fill) >= TEXT_CONTRAST, "{on_fill} on {fill}");
                for ground in [page, surface, soft] {
                    prop_assert!(ink.contrast(ground) >= TEXT_CONTRAST, "{ink} on {ground}");
                    for text in texts {
                        prop_assert!(text.contrast(ground) >= TEXT_CONTRAST, "{text} on {ground}");
                    }
                }
                for ground in [page, surface] {
                    prop_assert!(edge.contrast(ground) >= EDGE_CONTRAST, "{edge} on {ground}");
                }
            }
        }
    }

    #[test]
    fn a_colour_that_can_be_read_is_kept() {
        let blue = Colour::parse("#2b4acb").unwrap();
        let Palette { light, .. } = Palette::of(Some("#2b4acb"));
        assert_eq!((light.fill, light.ink, light.edge, light.on_fill), (blue, blue, blue, WHITE));
    }

    #[test]
    fn a_bright_colour_keeps_its_ground_and_gets_dark_text() {
        let Palette { light, .. } = Palette::of(Some("#ffd400"));
        assert_eq!(light.fill.to_string(), "#ffd400");
        assert_eq!(light.on_fill, BLACK);
        assert_ne!(light.ink, light.fill);
    }

    #[test]
    fn what_is_no_colour_is_none() {
        for text in
            ["", "red", "#fff", "#12345g", "#1234567", "#+12345", "#ffffff;}</style><script>", "#日本"]
        {
            assert_eq!(Colour::parse(text), None, "{text}");
            assert_eq!(Palette::of(Some(text)), Palette::of(None));
        }
    }

    #[test]
    fn contrast_is_that_of_wcag() {
        assert!((BLACK.contrast(WHITE) - 21.0).abs() < 1e-9);
        let grey = Colour::parse("#767676").unwrap();
        assert!((grey.contrast(WHITE) - 4.54).abs() < 0.01);
    }
}
