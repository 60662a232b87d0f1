//! The lookup `password`: a random password that is kept in a file of its own.

use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use minijinja::Error;

use super::Lookup;
use crate::template::call::{fail, to_int};
use crate::template::filters::paths;
use crate::template::password::{Settings, hash, salt};
use crate::template::pyrandom::Random;
use crate::template::python;
use crate::value::{Map, Value};

/// What a term and the options ask for.
struct Wanted {
    path: String,
    length: usize,
    chars: Vec<char>,
    encrypt: Option<String>,
    ident: Option<String>,
    seed: Option<Value>,
}

pub(super) fn run(lookup: &Lookup<'_>) -> Result<Vec<Value>, Error> {
    lookup.terms.iter().map(|term| one(lookup, term).map(Value::from)).collect()
}

fn one(lookup: &Lookup<'_>, term: &Value) -> Result<String, Error> {
    let (path, options) = lookup.key_and_options(term);
    let wanted = Wanted::new(path, &options)?;
    if wanted.path == "/dev/null" {
        let salt = wanted.encrypt.as_ref().map(|kind| salt_for(kind));
        return wanted.finish(&wanted.generate(), salt.as_deref());
    }
    let path = place(lookup, &wanted.path);
    let _lock = Lock::take(&path)?;
    let (mut plain, mut kept_salt) = match std::fs::read_to_string(&path) {
        Ok(text) => parse(&text),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => (String::new(), None),
        Err(e) => return Err(fail(format!("cannot read the password file '{}': {e}", path.display()))),
    };
    let mut changed = false;
    if plain.is_empty() {
        plain = wanted.generate();
        changed = true;
    }
    if let (Some(kind), None) = (&wanted.encrypt, &kept_salt) {
        kept_salt = Some(salt_for(kind));
        changed = true;
    }
    if changed {
        let mut line = plain.clone();
        if let (Some(_), Some(salt)) = (&wanted.encrypt, &kept_salt) {
            line.push_str(&format!(" salt={salt}"));
        }
        if let (Some(_), Some(ident)) = (&wanted.encrypt, &wanted.ident) {
            line.push_str(&format!(" ident={ident}"));
        }
        write(&path, &format!("{line}\n"))?;
    }
    wanted.finish(&plain, kept_salt.as_deref())
}

impl Wanted {
    fn new(path: String, options: &Map) -> Result<Self, Error> {
        let text = |name: &str| options.get(name).filter(|v| !v.is_null()).map(python::text);
        for name in options.keys().filter_map(|k| k.as_str()) {
            if !matches!(name, "length" | "chars" | "encrypt" | "ident" | "seed") {
                return Err(fail(format!("Unrecognized parameter(s) given to password lookup: {name}")));
            }
        }
        let length = options.get("length").map(to_int).transpose()?.unwrap_or(20);
        let length = usize::try_from(length).ok().filter(|n| (1..=100_000).contains(n));
        let kinds: Vec<String> = match options.get("chars") {
            Some(Value::List(kinds)) => kinds.iter().map(python::text).collect(),
            Some(Value::Null) | None => ["ascii_letters", "digits", ".,:-_"].map(ToOwned::to_owned).to_vec(),
            Some(other) => split_chars(&python::text(other)),
        };
        let chars: Vec<char> = kinds.iter().flat_map(|kind| letters(kind).chars().collect::<Vec<_>>()).collect();
        if chars.is_empty() {
            return Err(fail("there are no characters to make a password of"));
        }
        Ok(Self {
            path,
            length: length.ok_or_else(|| fail("the length of a password must be from 1 to 100000"))?,
            chars,
            encrypt: text("encrypt").filter(|e| !e.is_empty()),
            ident: text("ident"),
            seed: options.get("seed").filter(|v| !v.is_null()).cloned(),
        })
    }

    fn generate(&self) -> String {
        let mut random = Random::new(self.seed.as_ref());
        let mut letter = || self.chars[usize::try_from(random.below(self.chars.len() as u64)).unwrap_or(0)];
        (0..self.length).map(|_| letter()).collect()
    }

    fn finish(&self, plain: &str, salt: Option<&str>) -> Result<String, Error> {
        let Some(kind) = &self.encrypt else { return Ok(plain.to_owned()) };
        let settings = Settings { kind, salt, salt_size: None, rounds: None, ident: self.ident.as_deref() };
        hash(plain, &settings).map_err(fail)
    }
}

/// Kinds of characters between commas; two commas are a comma.
fn split_chars(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    if text.contains(",,") {
        out.push(",".to_owned());
    }
    out.extend(text.replace(",,", ",").split(',').filter(|part| !part.is_empty()).map(ToOwned::to_owned));
    out
}

/// The characters of Python's `string` module, or those written out.
fn letters(kind: &str) -> &str {
    match kind {
        "ascii_letters" => "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
        "ascii_lowercase" => "abcdefghijklmnopqrstuvwxyz",
        "ascii_uppercase" => "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        "digits" => "0123456789",
        "hexdigits" => "0123456789abcdefABCDEF",
        "octdigits" => "01234567",
        "punctuation" => "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~",
        "whitespace" => " \t\n\r\u{b}\u{c}",
        other => other,
    }
}

fn salt_for(kind: &str) -> String {
    if matches!(kind, "bcrypt" | "blowfish") {
        // The last letter of a salt of bcrypt's may be one of four only.
        let last = ['.', 'O', 'e', 'u'];
        let at = usize::try_from(Random::new(None).below(4)).unwrap_or(0);
        return format!("{}{}", salt(21), last[at]);
    }
    salt(16)
}

/// A password, and the salt its file keeps.
fn parse(text: &str) -> (String, Option<String>) {
    let mut plain = text.trim_end_matches(['\n', '\r']).to_owned();
    if let Some((before, _)) = plain.rsplit_once(" ident=") {
        plain = before.to_owned();
    }
    match plain.rsplit_once(" salt=") {
        Some((before, salt)) => (before.to_owned(), Some(salt.to_owned())),
        None => (plain, None),
    }
}

fn place(lookup: &Lookup<'_>, path: &str) -> PathBuf {
    let path = PathBuf::from(paths::expand_user(path));
    if path.is_absolute() {
        return path;
    }
    // Relative to the playbook, which stands last, as the reference has it.
    let places = lookup.templar.variables().search_path();
    places.last().map_or_else(|| path.clone(), |place| place.join(&path))
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    let wrong = |e: std::io::Error| fail(format!("cannot write the password file '{}': {e}", path.display()));
    let directory = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".password-").tempfile_in(directory).map_err(wrong)?;
    file.as_file().set_permissions(std::fs::Permissions::from_mode(0o600)).map_err(wrong)?;
    file.write_all(text.as_bytes()).map_err(wrong)?;
    file.as_file().sync_all().map_err(wrong)?;
    file.persist(path).map_err(|e| wrong(e.error))?;
    Ok(())
}

/// Held while a password file is read and written, so that every host gets the same one.
struct Lock(#[allow(dead_code, reason = "held for its drop")] std::fs::File);

impl Lock {
    fn take(path: &Path) -> Result<Self, Error> {
        let wrong = |e: std::io::Error| fail(format!("cannot use the password file '{}': {e}", path.display()));
        let directory = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(wrong)?;
        let directory = std::fs::File::open(directory).map_err(wrong)?;
        directory.lock().map_err(wrong)?;
        Ok(Self(directory))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod unit {
    use std::os::unix::fs::MetadataExt;
    use std::sync::Arc;

    use super::*;
    use crate::template::lookups::loop_items;
    use crate::template::{Fixed, Templar};

    #[test]
    fn keeps_a_password_and_its_salt_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let templar = Templar::new(Arc::new(Fixed { map: Map::new(), search: vec![dir.path().to_path_buf()] }));
        let get = |term: &str| {
            let items = loop_items("password", &Value::from(term), &templar).unwrap();
            items[0].as_str().unwrap().to_owned()
        };
        let plain = get("deep/pw length=12 chars=digits");
        assert!(plain.len() == 12 && plain.chars().all(|c| c.is_ascii_digit()), "{plain}");
        assert_eq!(get("deep/pw"), plain, "kept");
        let file = dir.path().join("deep/pw");
        assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), format!("{plain}\n"));
        let hashed = get("deep/pw encrypt=bcrypt");
        assert!(hashed.starts_with("$2b$12$"), "{hashed}");
        assert_eq!(get("deep/pw encrypt=bcrypt"), hashed, "its salt is kept");
        assert!(std::fs::read_to_string(&file).unwrap().starts_with(&format!("{plain} salt=")));
        assert_eq!(get("deep/pw"), plain);
        assert_eq!(split_chars("ascii_letters,digits,,"), [",", "ascii_letters", "digits"]);
        assert!(loop_items("password", &Value::from("x lenght=3"), &templar).is_err());
    }
}
