//! OME-XML, as far as it says which pages make the first image (OME-TIFF specification, `TiffData`).

/// An image: its axes with their lengths, the outermost first and those of a page last, and where its pages are.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Image {
    pub(super) axes: Vec<(char, u64)>,
    /// Of a pixel in one page.
    pub(super) samples: u64,
    pub(super) blocks: Vec<Block>,
}

/// Pages that follow one another.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Block {
    /// Number of the first one in the file.
    pub(super) directory: u64,
    /// `None` is all there are.
    pub(super) count: Option<u64>,
    /// Its position along the axes before those of a page.
    pub(super) position: u64,
}

/// Most images, and most blocks of pages.
const MOST: usize = 1 << 20;

/// The images of a description; `None` when it has none here, or pages in other files.
pub(super) fn images(description: &str, file: &str) -> Option<Vec<Image>> {
    let (mut images, mut blocks) = (Vec::<Image>::new(), 0);
    let (mut root, mut own) = (None, None);
    for element in elements(description) {
        let name = element.name.rsplit(':').next().unwrap_or_default();
        match name {
            "OME" => root = element.attribute("UUID"),
            "BinaryOnly" => return None,
            "Pixels" => images.push(pixels(&element)?),
            "Channel" => {
                let image = images.last_mut()?;
                let samples = element.number("SamplesPerPixel").unwrap_or(1).max(1);
                if image.samples == 0 {
                    image.samples = samples;
                    let channels = image.axes.iter_mut().find(|(axis, _)| *axis == 'C')?;
                    channels.1 /= samples;
                } else if image.samples != samples {
                    return None;
                }
            }
            "TiffData" => {
                blocks += 1;
                let image = images.last_mut()?;
                // A position outside is that of a page that was cut away.
                if let Some(block) = block(&element, image) {
                    image.blocks.push(block);
                }
            }
            "UUID" => {
                let is_named = element.attribute("FileName").is_some_and(|name| name.eq_ignore_ascii_case(file));
                let uuid = element.text.trim();
                if root.is_none() && is_named {
                    own = Some(uuid.to_owned());
                }
                if root.as_deref().or(own.as_deref()) != Some(uuid) {
                    return None;
                }
            }
            _ => {}
        }
        if images.len() + blocks > MOST {
            return None;
        }
    }
    Some(images)
}

fn pixels(element: &Element) -> Option<Image> {
    let order = element.attribute("DimensionOrder")?;
    let length = |axis: char| element.number(&format!("Size{axis}")).map(|len| (axis, len));
    let axes = order.chars().rev().map(length).collect::<Option<Vec<_>>>()?;
    (axes.len() >= 2).then_some(Image { axes, samples: 0, blocks: Vec::new() })
}

fn block(element: &Element, image: &Image) -> Option<Block> {
    let directory = element.number("IFD");
    let count = element.number("PlaneCount").or(element.number("NumPlanes"));
    let count = count.or(directory.map(|_| 1)).filter(|count| *count > 0);
    let leading = &image.axes[..image.axes.len() - 2];
    let position = leading.iter().try_fold(0u64, |position, (axis, len)| {
        let first = element.number(&format!("First{axis}")).unwrap_or(0);
        (first < *len).then(|| position.checked_mul(*len)?.checked_add(first)).flatten()
    })?;
    Some(Block { directory: directory.unwrap_or(0), count, position })
}

/// A tag that opens, and the text after it.
struct Element<'a> {
    name: &'a str,
    attributes: &'a str,
    text: &'a str,
}

impl Element<'_> {
    fn attribute(&self, name: &str) -> Option<String> {
        let mut rest = self.attributes;
        loop {
            let (key, after) = rest.split_once('=')?;
            let after = after.trim_start();
            let quote = after.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
            let (value, after) = after[1..].split_once(quote)?;
            if key.trim() == name {
                return Some(
                    value.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&"),
                );
            }
            rest = after;
        }
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.attribute(name)?.trim().parse().ok()
    }
}

fn elements(xml: &str) -> impl Iterator<Item = Element<'_>> {
    let mut rest = xml;
    std::iter::from_fn(move || {
        loop {
            rest = &rest[rest.find('<')?..];
            if let Some(comment) = rest.strip_prefix("<!--") {
                rest = &comment[comment.find("-->")?..];
                continue;
            }
            let end = rest.find('>')?;
            let (tag, after) = (&rest[1..end], &rest[end + 1..]);
            rest = after;
            if tag.starts_with(['/', '?', '!']) {
                continue;
            }
            let tag = tag.trim_end_matches('/');
            let (name, attributes) = tag.split_once(char::is_whitespace).unwrap_or((tag, ""));
            return Some(Element { name, attributes, text: &after[..after.find('<').unwrap_or(after.len())] });
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_say_where_pages_are() {
        let xml = r#"<?xml version="1.0"?><!-- <Pixels> --><ome:OME UUID="urn:1"><ome:Image ID="Image:0"><ome:Pixels
            DimensionOrder="XYZCT" SizeX="5" SizeY='4' SizeZ="3" SizeC="6" SizeT="1"><ome:Channel SamplesPerPixel="3"/>
            <ome:TiffData IFD="7" FirstC="1" FirstZ="2"><ome:UUID FileName="a.tif">urn:1</ome:UUID></ome:TiffData>
            <ome:TiffData FirstC="9"/><ome:TiffData PlaneCount="2"/></ome:Pixels></ome:Image></ome:OME>"#;
        let images = images(xml, "a.tif").unwrap();
        assert_eq!(images[0].axes, [('T', 1), ('C', 2), ('Z', 3), ('Y', 4), ('X', 5)]);
        assert_eq!(images[0].samples, 3);
        let blocks =
            [Block { directory: 7, count: Some(1), position: 5 }, Block { directory: 0, count: Some(2), position: 0 }];
        assert_eq!(images[0].blocks, blocks);
        assert_eq!(super::images(&xml.replace(">urn:1<", ">urn:2<"), "a.tif"), None, "in another file");
        assert_eq!(super::images(&xml.replace("<ome:Image", "<BinaryOnly"), "a.tif"), None);
    }
}
