//! Names in certificates: of subjects and issuers, and the alternative ones.

use std::net::IpAddr;

use const_oid::ObjectIdentifier;
use der::asn1::{Any, Ia5String, OctetString, PrintableString};
use der::{Decode as _, Encode as _, Tag, Tagged as _};
use serde_json::{Map, Value, json};
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::ext::pkix::name::{GeneralName, OtherName};
use x509_cert::name::{Name, RdnSequence, RelativeDistinguishedName};

use super::{colons, from_hex};

/// Attributes of a name: OID, the short word for it, the long one.
const ATTRIBUTES: &[(&str, &str, &str)] = &[
    ("2.5.4.3", "CN", "commonName"),
    ("2.5.4.4", "SN", "surname"),
    ("2.5.4.5", "serialNumber", "serialNumber"),
    ("2.5.4.6", "C", "countryName"),
    ("2.5.4.7", "L", "localityName"),
    ("2.5.4.8", "ST", "stateOrProvinceName"),
    ("2.5.4.9", "street", "streetAddress"),
    ("2.5.4.10", "O", "organizationName"),
    ("2.5.4.11", "OU", "organizationalUnitName"),
    ("2.5.4.12", "title", "title"),
    ("2.5.4.13", "description", "description"),
    ("2.5.4.15", "businessCategory", "businessCategory"),
    ("2.5.4.16", "postalAddress", "postalAddress"),
    ("2.5.4.17", "postalCode", "postalCode"),
    ("2.5.4.20", "telephoneNumber", "telephoneNumber"),
    ("2.5.4.41", "name", "name"),
    ("2.5.4.42", "GN", "givenName"),
    ("2.5.4.43", "initials", "initials"),
    ("2.5.4.44", "generationQualifier", "generationQualifier"),
    ("2.5.4.45", "x500UniqueIdentifier", "x500UniqueIdentifier"),
    ("2.5.4.46", "dnQualifier", "dnQualifier"),
    ("2.5.4.65", "pseudonym", "pseudonym"),
    ("2.5.4.97", "organizationIdentifier", "organizationIdentifier"),
    ("0.9.2342.19200300.100.1.1", "UID", "userId"),
    ("0.9.2342.19200300.100.1.25", "DC", "domainComponent"),
    ("1.2.840.113549.1.9.1", "emailAddress", "emailAddress"),
    ("1.2.840.113549.1.9.2", "unstructuredName", "unstructuredName"),
    ("1.3.6.1.4.1.311.60.2.1.1", "jurisdictionL", "jurisdictionLocalityName"),
    ("1.3.6.1.4.1.311.60.2.1.2", "jurisdictionST", "jurisdictionStateOrProvinceName"),
    ("1.3.6.1.4.1.311.60.2.1.3", "jurisdictionC", "jurisdictionCountryName"),
];

/// The OID of an attribute by its short or long name, or in digits.
fn attribute(name: &str) -> Result<ObjectIdentifier, String> {
    let known = ATTRIBUTES.iter().find(|(_, short, long)| *short == name || *long == name);
    ObjectIdentifier::new(known.map_or(name, |(oid, ..)| oid)).map_err(|_| format!("Cannot find OID for \"{name}\""))
}

fn called(oid: ObjectIdentifier) -> (String, String) {
    let oid = oid.to_string();
    match ATTRIBUTES.iter().find(|(known, ..)| *known == oid) {
        Some((_, short, long)) => ((*short).to_owned(), (*long).to_owned()),
        None => (oid.clone(), oid),
    }
}

/// One attribute, in the kind of string that it has to have.
fn typed(name: &str, value: &str) -> Result<RelativeDistinguishedName, String> {
    let oid = attribute(name)?;
    let odd = |e: der::Error| format!("\"{value}\" cannot be the value of {name}: {e}");
    let number = oid.to_string();
    let countries = ["2.5.4.6", "1.3.6.1.4.1.311.60.2.1.3"];
    let limits =
        if countries.contains(&number.as_str()) { Some((2, 2)) } else { (number == "2.5.4.3").then_some((1, 64)) };
    if let Some((least, most)) = limits.filter(|(least, most)| !(*least..=*most).contains(&value.len())) {
        let length = value.len();
        return Err(format!("Attribute's length must be >= {least} and <= {most}, but it was {length}"));
    }
    let value = match number.as_str() {
        "2.5.4.6" | "2.5.4.5" | "2.5.4.46" | "1.3.6.1.4.1.311.60.2.1.3" => {
            Any::encode_from(&PrintableString::new(value).map_err(odd)?)
        }
        "0.9.2342.19200300.100.1.25" | "1.2.840.113549.1.9.1" => Any::encode_from(&Ia5String::new(value).map_err(odd)?),
        _ => Any::encode_from(&value.to_owned()),
    };
    RelativeDistinguishedName::try_from(vec![AttributeTypeAndValue { oid, value: value.map_err(odd)? }]).map_err(odd)
}

/// A name of these attributes, in this order.
pub(crate) fn name<'a>(parts: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Name, String> {
    let mut sequence = RdnSequence::default();
    for (key, value) in parts {
        sequence.push(typed(key, value)?);
    }
    let der = sequence.to_der().map_err(|e| e.to_string())?;
    Name::from_der(&der).map_err(|e| e.to_string())
}

/// The text of an attribute.
fn text(value: &Any) -> String {
    match value.tag() {
        // Two bytes for each character, and one of Latin 1.
        Tag::BmpString => {
            let pairs = value.value().chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
            String::from_utf16_lossy(&pairs.collect::<Vec<_>>())
        }
        Tag::TeletexString => value.value().iter().map(|byte| char::from(*byte)).collect(),
        _ => String::from_utf8_lossy(value.value()).into_owned(),
    }
}

/// All attributes of a name by their long names, in order.
pub(crate) fn ordered(name: &Name) -> Vec<(String, String)> {
    name.iter().map(|part| (called(part.oid).1, text(&part.value))).collect()
}

/// A name as results have it: by attribute, and in order.
pub(crate) fn told(name: &Name) -> (Value, Value) {
    let parts = ordered(name);
    let pairs = parts.iter().map(|(key, value)| json!([key, value])).collect();
    let by_name: Map<String, Value> = parts.into_iter().map(|(key, value)| (key, value.into())).collect();
    (by_name.into(), Value::Array(pairs))
}

/// A distinguished name as text: `CN=a,O=b`, or `/CN=a/O=b`; the last part comes first in the certificate.
fn distinguished(text: &str) -> Result<Name, String> {
    let (separator, rest) = text.strip_prefix('/').map_or((',', text), |rest| ('/', rest));
    let mut parts: Vec<String> = vec![String::new()];
    let mut escaped = false;
    for c in rest.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' => {
                escaped = true;
                continue;
            }
            c if c == separator => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(last) = parts.last_mut() {
            last.push(c);
        }
    }
    let pairs: Option<Vec<(&str, &str)>> = parts.iter().map(|part| part.trim_start().split_once('=')).collect();
    let pairs = pairs.ok_or_else(|| format!("Error while parsing distinguished name '{text}': a part has no \"=\""))?;
    if pairs.iter().any(|(_, value)| value.contains('+') || value.starts_with('#')) {
        return Err(format!(
            "the distinguished name '{text}' has parts of several values or in hexadecimal, which is not supported"
        ));
    }
    name(pairs.into_iter().rev())
}

/// The parts of a name relative to that of an issuer.
pub(crate) fn relative(parts: &[String]) -> Result<RelativeDistinguishedName, String> {
    let mut all = Vec::new();
    for part in parts {
        let (key, value) = part.split_once('=').ok_or_else(|| format!("\"{part}\" has no \"=\""))?;
        all.extend(typed(key.trim(), value)?.iter().cloned());
    }
    RelativeDistinguishedName::try_from(all).map_err(|e| e.to_string())
}

fn ascii(text: &str, name: &str) -> Result<Ia5String, String> {
    Ia5String::new(text)
        .map_err(|_| format!("Cannot parse {name}: names beyond ASCII are not supported, write them as xn--…"))
}

/// A network as name constraints have it: the address and its mask.
fn network(text: &str) -> Option<Vec<u8>> {
    let (address, mask) = text.split_once('/')?;
    let octets = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let address = octets(address.parse().ok()?);
    let mask = match mask.parse::<usize>() {
        Ok(bits) if bits <= address.len() * 8 => {
            (0..address.len()).map(|n| !(0xff_u16 >> bits.saturating_sub(n * 8).min(8)) as u8).collect()
        }
        Ok(_) => return None,
        Err(_) => octets(mask.parse().ok()?),
    };
    (mask.len() == address.len()).then(|| [address, mask].concat())
}

/// Reads an alternative name, `DNS:a.example`; `what` is said of one that cannot be read.
pub(crate) fn general(text: &str, what: &str, networks: bool) -> Result<GeneralName, String> {
    let shown = format!("{what} \"{text}\"");
    let refused = |why: String| format!("Cannot parse {shown}: {why}");
    let (kind, value) =
        text.split_once(':').ok_or_else(|| format!("Cannot parse {shown} (forgot \"DNS:\" prefix?)"))?;
    Ok(match kind {
        "DNS" => GeneralName::DnsName(ascii(value, &shown)?),
        "email" => GeneralName::Rfc822Name(ascii(value, &shown)?),
        "URI" => GeneralName::UniformResourceIdentifier(ascii(value, &shown)?),
        "IP" if networks => {
            let bytes = network(value).ok_or_else(|| refused(format!("'{value}' is not a network")))?;
            GeneralName::IpAddress(OctetString::new(bytes).map_err(|e| refused(e.to_string()))?)
        }
        "IP" => match value.parse::<IpAddr>() {
            Ok(ip) => GeneralName::from(ip),
            Err(_) => return Err(refused(format!("'{value}' does not appear to be an IPv4 or IPv6 address"))),
        },
        "RID" => GeneralName::RegisteredId(ObjectIdentifier::new(value).map_err(|e| refused(e.to_string()))?),
        "dirName" => GeneralName::DirectoryName(distinguished(value).map_err(refused)?),
        "otherName" => GeneralName::OtherName(other(value).map_err(refused)?),
        _ => return Err(format!("Cannot parse {shown} (potentially unsupported by cryptography backend)")),
    })
}

fn other(value: &str) -> Result<OtherName, String> {
    let form = "it must be otherName:<OID>;UTF8:<text> or otherName:<OID>;<hexadecimal DER>";
    let (oid, value) = value.split_once(';').ok_or(form)?;
    let type_id = ObjectIdentifier::new(oid).map_err(|e| e.to_string())?;
    let text = value.strip_prefix("UTF8:").or_else(|| value.strip_prefix("UTF8String:"));
    let value = match text {
        Some(text) => Any::encode_from(&text.to_owned()).map_err(|e| e.to_string())?,
        None => Any::from_der(&from_hex(value).ok_or(form)?).map_err(|e| e.to_string())?,
    };
    Ok(OtherName { type_id, value })
}

/// An alternative name as results have it.
pub(crate) fn shown(name: &GeneralName) -> String {
    match name {
        GeneralName::DnsName(name) => format!("DNS:{}", name.as_str()),
        GeneralName::Rfc822Name(name) => format!("email:{}", name.as_str()),
        GeneralName::UniformResourceIdentifier(name) => format!("URI:{}", name.as_str()),
        GeneralName::RegisteredId(oid) => format!("RID:{oid}"),
        GeneralName::IpAddress(bytes) => format!("IP:{}", address(bytes.as_bytes())),
        GeneralName::DirectoryName(name) => {
            let escape = |text: &str| text.replace('\\', "\\\\").replace(',', "\\,");
            let parts: Vec<_> =
                name.iter().map(|part| format!("{}={}", called(part.oid).0, escape(&text(&part.value)))).collect();
            format!("dirName:{}", parts.into_iter().rev().collect::<Vec<_>>().join(","))
        }
        GeneralName::OtherName(other) => {
            format!("otherName:{};{}", other.type_id, colons(&other.value.to_der().unwrap_or_default()))
        }
        GeneralName::EdiPartyName(_) => "ediPartyName".to_owned(),
    }
}

/// An address, or a network with its mask.
fn address(bytes: &[u8]) -> String {
    let single = |bytes: &[u8]| -> Option<IpAddr> {
        let four: Option<[u8; 4]> = bytes.try_into().ok();
        let sixteen: Option<[u8; 16]> = bytes.try_into().ok();
        four.map(IpAddr::from).or(sixteen.map(IpAddr::from))
    };
    let network = || {
        let (address, mask) = bytes.split_at(bytes.len() / 2);
        let bits: u32 = mask.iter().map(|byte| byte.count_ones()).sum();
        Some(format!("{}/{bits}", single(address)?))
    };
    match bytes.len() {
        8 | 32 => network(),
        _ => single(bytes).map(|ip| ip.to_string()),
    }
    .unwrap_or_else(|| colons(bytes))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn alternative_names_are_read_and_told() {
        for (given, told) in [
            ("DNS:a.example", "DNS:a.example"),
            ("IP:2001:DB8::1", "IP:2001:db8::1"),
            ("email:me@x.y", "email:me@x.y"),
            ("URI:http://foo/bar", "URI:http://foo/bar"),
            ("RID:1.2.3.4", "RID:1.2.3.4"),
            ("dirName:CN=foo,O=bar", "dirName:CN=foo,O=bar"),
            ("dirName:/CN=foo/O=a,b", "dirName:CN=foo,O=a\\,b"),
            ("otherName:1.2.3.4;UTF8:foo", "otherName:1.2.3.4;0c:03:66:6f:6f"),
            ("otherName:1.2.3.4;0c:03:66:6f:6f", "otherName:1.2.3.4;0c:03:66:6f:6f"),
        ] {
            assert_eq!(shown(&general(given, "Subject Alternative Name", false).unwrap()), told);
        }
        for odd in [
            "a.example",
            "foo:bar",
            "IP:1.2.3",
            "RID:x",
            "dirName:foo",
            "otherName:1.2.3",
            "DNS:bär.example",
            "otherName:1.2.3;x",
        ] {
            let said = general(odd, "Subject Alternative Name", false).unwrap_err();
            assert!(said.contains(&format!("Subject Alternative Name \"{odd}\"")), "{said}");
        }
        for (given, told) in
            [("IP:10.0.0.0/8", "IP:10.0.0.0/8"), ("IP:::/0", "IP:::/0"), ("IP:10.0.0.0/255.240.0.0", "IP:10.0.0.0/12")]
        {
            assert_eq!(shown(&general(given, "name constraint", true).unwrap()), told);
        }
        assert!(general("IP:10.0.0.0", "name constraint", true).is_err());
        assert!(general("IP:10.0.0.0/33", "name constraint", true).is_err());
    }

    #[test]
    fn names_keep_their_order() {
        let parts = [("C", "DE"), ("organizationName", "Ö"), ("OU", "a"), ("OU", "b"), ("1.2.3.4", "x"), ("DC", "y")];
        let (by_name, in_order) = told(&name(parts).unwrap());
        assert_eq!(by_name["organizationalUnitName"], "b");
        assert_eq!(in_order[2], json!(["organizationalUnitName", "a"]));
        assert_eq!(in_order[4], json!(["1.2.3.4", "x"]));
        assert!(name([("C", "DEU")]).unwrap_err().contains("must be >= 2 and <= 2, but it was 3"));
        assert_eq!(name([("nosuch", "x")]).unwrap_err(), "Cannot find OID for \"nosuch\"");
        assert!(name([("emailAddress", "ö@x")]).is_err());
    }
}
