//! Questions to whoever started the run, on the controller.

use std::io::{BufRead, Write};

/// Writes a text as it is, at once.
pub fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    // Nobody is there to see it when this fails.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// A line of the standard input, read where it holds up nothing else; `None` at its end.
///
/// Without `echo` it comes from the terminal and is not shown there.
pub async fn line(echo: bool) -> std::io::Result<Option<String>> {
    let read = move || {
        if !echo {
            return rpassword::read_password().map(Some);
        }
        let mut line = String::new();
        let count = std::io::stdin().lock().read_line(&mut line)?;
        Ok((count > 0).then(|| line.trim_end_matches(['\r', '\n']).to_owned()))
    };
    tokio::task::spawn_blocking(read).await.map_err(std::io::Error::other)?
}
