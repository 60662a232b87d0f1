//! Jinja's `lipsum`: text that means nothing, to see how a layout looks.

use minijinja::{Error, Value as Jinja};

use super::call::{Call, Spec, ansible, fail, markup};
use super::pyrandom::Random;

pub(super) const FUNCTIONS: &[Spec] = &[ansible(&["lipsum"], &["n", "html", "min", "max"], lipsum)];

const WORDS: &str = "a ac accumsan ad adipiscing aenean aliquam aliquet amet ante aptent arcu at auctor augue bibendum \
    blandit class commodo condimentum congue consectetuer consequat conubia convallis cras cubilia cum curabitur curae \
    cursus dapibus diam dictum dictumst dignissim dis dolor donec dui duis egestas eget eleifend elementum elit enim erat \
    eros est et etiam eu euismod facilisi facilisis fames faucibus felis fermentum feugiat fringilla fusce gravida \
    habitant habitasse hac hendrerit hymenaeos iaculis id imperdiet in inceptos integer interdum ipsum justo lacinia \
    lacus laoreet lectus leo libero ligula litora lobortis lorem luctus maecenas magna magnis malesuada massa mattis \
    mauris metus mi molestie mollis montes morbi mus nam nascetur natoque nec neque netus nibh nisi nisl non nonummy \
    nostra nulla nullam nunc odio orci ornare parturient pede pellentesque penatibus per pharetra phasellus placerat \
    platea porta porttitor posuere potenti praesent pretium primis proin pulvinar purus quam quis quisque rhoncus \
    ridiculus risus rutrum sagittis sapien scelerisque sed sem semper senectus sit sociis sociosqu sodales sollicitudin \
    suscipit suspendisse taciti tellus tempor tempus tincidunt torquent tortor tristique turpis ullamcorper ultrices \
    ultricies urna ut varius vehicula vel velit venenatis vestibulum vitae vivamus viverra volutpat vulputate";

fn lipsum(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let (count, least, below) = (call.index(0, 5)?, call.index(2, 20)?, call.index(3, 100)?);
    let html = call.flag(1, true);
    let mut random = Random::new(None);
    let mut paragraphs = Vec::new();
    for _ in 0..count {
        let Some(range) = below.checked_sub(least).and_then(|range| u64::try_from(range).ok()).filter(|r| *r > 0)
        else {
            let width = i128::from(below) - i128::from(least);
            return Err(fail(format!("empty range for randrange() ({least}, {below}, {width})")));
        };
        let length = least.saturating_add_unsigned(random.below(range));
        let text = paragraph(&mut random, length);
        paragraphs.push(if html { format!("<p>{text}</p>") } else { text });
    }
    Ok(match html {
        true => markup(call.state, paragraphs.join("\n")),
        false => Jinja::from(paragraphs.join("\n\n")),
    })
}

/// A number from one to one below another.
fn between(random: &mut Random, least: i64, below: i64) -> i64 {
    least.saturating_add_unsigned(random.below(below.abs_diff(least)))
}

/// Sentences of some words with commas here and there; the last ends with the paragraph.
fn paragraph(random: &mut Random, length: i64) -> String {
    let words: Vec<&str> = WORDS.split_whitespace().collect();
    let mut out = String::new();
    let (mut last, mut capital) = ("", true);
    let (mut comma, mut stop) = (0, 0);
    for at in 0..length {
        let word = loop {
            let word = words.get(random.below(words.len() as u64) as usize).copied().unwrap_or("lorem");
            if word != last {
                break word;
            }
        };
        last = word;
        if at > 0 {
            out.push(' ');
        }
        match word.chars().next().filter(|_| std::mem::take(&mut capital)) {
            Some(first) => {
                out.push(first.to_ascii_uppercase());
                out.push_str(&word[1..]);
            }
            None => out.push_str(word),
        }
        if at - between(random, 3, 8) > comma {
            comma = at;
            // A sentence with commas is a longer one.
            stop += 2;
            out.push(',');
        }
        if at - between(random, 10, 20) > stop {
            (comma, stop) = (at, at);
            out.push('.');
            capital = true;
        }
    }
    if out.ends_with(',') {
        out.pop();
    }
    if !out.ends_with('.') {
        out.push('.');
    }
    out
}
