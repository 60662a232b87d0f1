//! ssh's command line: what `ansible_ssh_args` and its siblings hold.

use super::super::super::ConnectionError;
use super::file::{Directive, Origin};
use super::options::Options;

/// A parsed command line.
#[derive(Debug, Clone, Default)]
pub struct CommandLine {
    /// What it sets, as if it stood before the first line of every file.
    pub options: Options,
    /// `-F`.
    pub config_file: Option<String>,
    /// `-W`: the words say where the standard streams go.
    pub forward: Option<String>,
    /// The host, where there is one.
    pub destination: Option<String>,
}

/// Options without an argument. Apart from `-4` and `-6` they have no meaning here, or are always so. `-C` is left
/// out on purpose: Ansible gives it by default, and what rplay sends is compressed already.
const FLAGS: &str = "46AaCfGgKkMNnqsTtVvXxYy";
/// Options with an argument that has no meaning here.
const IGNORED_WITH_ARGUMENT: &str = "BbcDEeIkLmOQRSw";

fn wrong(message: String) -> ConnectionError {
    ConnectionError::Config { place: "ssh arguments".into(), message }
}

/// `[user@]host[:port]`, also with brackets and as `ssh://…`: the user, host and port.
pub fn jump_host(text: &str) -> Result<(Option<String>, String, Option<u16>), String> {
    let bad = || format!("`{text}` is not `[user@]host[:port]`");
    let text = text.trim();
    let (uri, rest) = match text.strip_prefix("ssh://") {
        Some(rest) => (true, rest.trim_end_matches('/')),
        None => (false, text),
    };
    let (user, rest) = match rest.rsplit_once('@') {
        Some((user, rest)) => (Some(user.split(';').next().unwrap_or(user)), rest),
        None => (None, rest),
    };
    let (host, port) = if let Some(rest) = rest.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or_else(bad)?;
        (host, if rest.is_empty() { None } else { Some(rest.strip_prefix(':').ok_or_else(bad)?) })
    } else {
        match rest.split_once(':') {
            // More than one colon without brackets is an IPv6 address.
            Some((_, port)) if port.contains(':') && !uri => (rest, None),
            Some((host, port)) => (host, Some(port)),
            None => (rest, None),
        }
    };
    let port = match port {
        Some(port) => Some(port.parse::<u16>().ok().filter(|port| *port != 0).ok_or_else(bad)?),
        None => None,
    };
    // A name that starts with a dash or holds shell characters is never a host, but may be an attack.
    let sane = |text: &str| {
        !text.is_empty()
            && !text.starts_with('-')
            && !text.contains(|c: char| c.is_whitespace() || "'`\"$\\;&<>|(){}".contains(c))
    };
    if !sane(host) || user.is_some_and(|user| !sane(user)) {
        return Err(bad());
    }
    Ok((user.map(str::to_owned), host.to_owned(), port))
}

impl CommandLine {
    /// Reads words in the syntax of ssh(1). `with_destination` allows a host, as in a `ProxyCommand`.
    pub fn parse(words: &[String], with_destination: bool) -> Result<Self, ConnectionError> {
        let mut line = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let Some(letters) = word.strip_prefix('-').filter(|letters| !letters.is_empty()) else {
                if with_destination && line.destination.is_none() {
                    line.destination = Some(word.clone());
                    continue;
                }
                return Err(wrong(format!("`{word}` is not an option; a host or command has no place here")));
            };
            if letters == "-" {
                continue;
            }
            for (index, letter) in letters.char_indices() {
                if FLAGS.contains(letter) {
                    line.flag(letter);
                    continue;
                }
                // The rest of the word, or the next word, is the argument.
                let rest = &letters[index + letter.len_utf8()..];
                let mut argument = || match rest {
                    "" => words.next().cloned().ok_or_else(|| wrong(format!("`-{letter}` needs an argument"))),
                    rest => Ok(rest.to_owned()),
                };
                if !IGNORED_WITH_ARGUMENT.contains(letter) && !"oFJiplW".contains(letter) {
                    return Err(wrong(format!("`-{letter}` in `{word}` is not an option of ssh that rplay knows")));
                }
                let argument = argument()?;
                line.option(letter, &argument)?;
                break;
            }
        }
        Ok(line)
    }

    fn flag(&mut self, letter: char) {
        match letter {
            '4' => self.set("AddressFamily", "inet"),
            '6' => self.set("AddressFamily", "inet6"),
            _ => {}
        }
    }

    /// Sets a keyword to a word that is known to be right.
    fn set(&mut self, name: &str, value: &str) {
        if let Some(directive) = Directive::parse(&format!("{name} {value}"), Origin::Arguments) {
            // An error is impossible: the words are constants.
            let _ = self.options.apply(&directive, true);
        }
    }

    fn option(&mut self, letter: char, argument: &str) -> Result<(), ConnectionError> {
        let options = &mut self.options;
        match letter {
            'o' => {
                let directive = Directive::parse(argument, Origin::Arguments)
                    .ok_or_else(|| wrong("`-o` needs `Keyword=value`".into()))?;
                if matches!(directive.keyword.as_str(), "host" | "match" | "include") {
                    return Err(wrong(format!("`-o {}` is not possible; it belongs in a file", directive.name)));
                }
                options.apply(&directive, true)?;
            }
            'F' => self.config_file = Some(argument.to_owned()),
            'J' => options.set_jump(argument, true).map_err(|message| wrong(format!("`-J`: {message}")))?,
            'i' => options.identity_files.push(argument.to_owned()),
            'p' => {
                let port = argument.parse().ok().filter(|port| *port != 0);
                let port = port.ok_or_else(|| wrong(format!("`-p {argument}` is not a port")))?;
                options.port.get_or_insert(port);
            }
            'l' => {
                options.user.get_or_insert_with(|| argument.to_owned());
            }
            'W' => self.forward = Some(argument.to_owned()),
            _ => {}
        }
        Ok(())
    }
}

/// Recognises `ssh [options] -W %h:%p [user@]host`, the older way to say `ProxyJump`.
///
/// `None` for any other command, which has to run as a process.
pub fn as_jump(command: &str) -> Option<(CommandLine, Vec<String>)> {
    let mut words = super::super::words::simple_command(command)?;
    if words.first().is_some_and(|word| word == "exec") {
        words.remove(0);
    }
    let program = words.first()?.rsplit('/').next()?.to_owned();
    if program != "ssh" {
        return None;
    }
    words.remove(0);
    let line = CommandLine::parse(&words, true).ok()?;
    let target = line.forward.as_deref()?;
    if !matches!(target, "%h:%p" | "[%h]:%p") || line.destination.is_none() {
        return None;
    }
    // What stays are the options alone.
    let destination = line.destination.clone()?;
    let at = words.iter().rposition(|word| *word == destination)?;
    words.remove(at);
    Some((line, words))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::options::Proxy;
    use super::*;

    fn parse(text: &str) -> Result<CommandLine, ConnectionError> {
        let words: Vec<String> = text.split(' ').map(str::to_owned).collect();
        CommandLine::parse(&words, false)
    }

    #[test]
    fn ansibles_own_words() {
        let line =
            parse("-C -o ControlMaster=auto -oControlPersist=60s -4 -tt -p2222 -l deployer -i /k -J a@b:1,c").unwrap();
        assert_eq!(line.options.port, Some(2222));
        assert_eq!(line.options.user.as_deref(), Some("deployer"));
        assert_eq!(line.options.identity_files, ["/k"]);
        assert_eq!(line.options.proxy, Some(Proxy::Jump("a@b:1,c".into())));
        assert_eq!(line.options.compression, None);
    }

    #[test]
    fn what_is_unknown_is_named() {
        let error = parse("-Z").unwrap_err().to_string();
        assert!(error.contains("`-Z`"), "{error}");
        let error = parse("-o Bogus=1").unwrap_err().to_string();
        assert!(error.contains("`Bogus`"), "{error}");
        let error = parse("-o RevokedHostKeys=/x").unwrap_err().to_string();
        assert!(error.contains("`RevokedHostKeys`: is not supported"), "{error}");
        assert!(parse("-o CanonicalizeHostname=no").is_ok());
        assert!(parse("host").unwrap_err().to_string().contains("`host`"));
        assert!(parse("-p none").is_err());
    }

    #[test]
    fn proxy_commands_that_are_jumps() {
        let (line, rest) =
            as_jump("ssh -q -W %h:%p -i '/my key' -p 2222 -o StrictHostKeyChecking=no u@bastion").unwrap();
        assert_eq!(line.destination.as_deref(), Some("u@bastion"));
        assert_eq!(line.options.identity_files, ["/my key"]);
        assert_eq!(rest.last().unwrap(), "StrictHostKeyChecking=no");
        assert!(as_jump("exec /usr/bin/ssh -W [%h]:%p bastion").is_some());
        for process in ["nc %h %p", "ssh bastion nc %h %p", "ssh -W other:22 b", "ssh -W %h:%p b 2>/dev/null"] {
            assert!(as_jump(process).is_none(), "{process}");
        }
    }

    #[test]
    fn jump_hosts() {
        let host = |text| jump_host(text).unwrap();
        assert_eq!(host("a@b:22"), (Some("a".into()), "b".into(), Some(22)));
        assert_eq!(host("[::1]:2222"), (None, "::1".into(), Some(2222)));
        assert_eq!(host("fe80::1"), (None, "fe80::1".into(), None));
        assert_eq!(host("ssh://u@h:5/"), (Some("u".into()), "h".into(), Some(5)));
        for bad in ["", "a@", "h:0", "h:x", "-oProxyCommand=x", "$(x)"] {
            assert!(jump_host(bad).is_err(), "{bad}");
        }
    }
}
