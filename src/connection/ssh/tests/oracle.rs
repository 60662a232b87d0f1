//! ssh_config, judged by `ssh -G`.

#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

use super::super::config::{Cache, Options, Proxy, StrictHostKeys, arguments::CommandLine, evaluate, tokens::Tokens};
use super::super::{Environment, SshOptions};

/// Configuration files, and the arguments to try them with.
const CASES: &[(&str, &[&str])] = &[
    ("Host web\n HostName web.example.org\n User deployer\n Port 2222\nHost *\n User other\n", &["web", "db"]),
    (
        "Host *.example.org !db.example.org\n Port 2200\nHost db*\n Port 2300\n",
        &["web.example.org", "db.example.org", "db"],
    ),
    ("Host web? 10.0.*\n User a\nHost = web1\nUser=b\nPort = 24\n", &["web1", "web12", "10.0.0.3"]),
    (
        "Host web\n HostName %h.example.org\nMatch host web.example.org\n User matched\nMatch originalhost web\n Port 23\n",
        &["web", "web.example.org"],
    ),
    (
        "Match user root\n Port 21\nMatch user alice,bob\n Port 22\nMatch localuser *\n HostKeyAlias same\n",
        &["-l root h", "-l bob h", "-l eve h"],
    ),
    ("Match exec \"test %h = web\"\n Port 21\nMatch !exec \"test %h = web\"\n Port 20\n", &["web", "db"]),
    ("Match final host h.example.org\n Port 99\nHost h\n HostName h.example.org\n", &["h", "x"]),
    ("Match final all\n User late\nHost h\n User early\n", &["h", "x"]),
    ("Match all\n Port 5\nMatch host \"a,b\" user \"c\"\n User d\n", &["a", "-l c b"]),
    (
        "Host a\n ProxyJump b,c@d:2222\nHost b\n ProxyJump none\n ProxyCommand nc %h %p\nHost *\n ProxyCommand nc -X 5 %h %p\n",
        &["a", "b", "z"],
    ),
    ("Host a\n ProxyCommand ssh -W %h:%p \"my bastion\"\nHost *\n ProxyJump x\n", &["a", "b"]),
    (
        "IdentityFile ~/.ssh/a\nHost h\n IdentityFile \"/k/with space\"\n IdentityFile %d/.ssh/%h-%r\n IdentitiesOnly yes\n",
        &["h", "-i /etc/passwd h"],
    ),
    (
        "StrictHostKeyChecking accept-new\nHashKnownHosts yes\nUserKnownHostsFile /a \"/b c\"\nGlobalKnownHostsFile none\n",
        &["h", "-oStrictHostKeyChecking=no h", "-o StrictHostKeyChecking=off h"],
    ),
    (
        "ConnectTimeout 1m30s\nConnectionAttempts 3\nServerAliveInterval 15\nServerAliveCountMax 5\nTCPKeepAlive no\n",
        &["h", "-oConnectTimeout=none h"],
    ),
    (
        "PreferredAuthentications publickey,password\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPubkeyAuthentication yes\n",
        &["h"],
    ),
    ("AddressFamily inet6\nBindAddress 10.0.0.1\nCompression yes\n", &["h", "-4 h"]),
    ("SendEnv LANG LC_*\nSendEnv -LC_*\nSetEnv A=1 B=2\nSetEnv C=3\n", &["h"]),
    ("IgnoreUnknown Nonsense,Foo*\nNonsense yes\nFooBar 1\nPort 7\n", &["h"]),
    ("# comment\n\n   Port   8   # trailing\nUser \"quoted\" # more\n", &["h"]),
    ("Host \"h\" other\n Port 9\nhOsT x\n pOrT 10\n", &["h", "x", "-p 11 x"]),
    ("Include DIR/inc/*.conf\nPort 40\n", &["inc1", "inc2", "h"]),
    ("Host inc1\n Include DIR/inc/one.conf DIR/inc/none.conf\nHost *\n Port 41\n", &["inc1", "inc2"]),
    ("HostName FOO.Example\n", &["h"]),
    ("Host Web\n Port 50\n", &["Web", "web"]),
    (
        "HostKeyAlias alias\nIdentityAgent none\nCertificateFile ~/.ssh/c\nForwardAgent yes\nCheckHostIP no\nLogLevel QUIET\n",
        &["h"],
    ),
];

/// Configurations that both refuse.
const WRONG: &[&str] = &[
    "Port none\n",
    "Nonsense yes\n",
    "User\n",
    "Match bogus x\n",
    "StrictHostKeyChecking maybe\n",
    "User \"open\n",
    "ConnectTimeout soon\n",
    "Port 1 2\n",
    "ProxyJump a@:x\n",
    "Host\n",
];

fn ssh_g(file: &Path, args: &[&str]) -> Option<HashMap<String, Vec<String>>> {
    let output =
        Command::new("ssh").arg("-G").arg("-F").arg(file).args(args).env_remove("SSH_AUTH_SOCK").output().unwrap();
    if !output.status.success() {
        return None;
    }
    let mut values: HashMap<String, Vec<String>> = HashMap::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let (key, value) = line.split_once(' ').unwrap_or((line, ""));
        values.entry(key.to_owned()).or_default().push(value.to_owned());
    }
    Some(values)
}

/// What rplay makes of it: ssh's names, and only what is set.
fn ours(file: &Path, args: &[&str]) -> Result<HashMap<String, Vec<String>>, String> {
    let (host, args) = args.split_last().unwrap();
    let mut words = vec!["-F".to_owned(), file.display().to_string()];
    words.extend(args.iter().map(|word| (*word).to_owned()));
    let environment = Environment::current();
    let line = CommandLine::parse(&words, false).map_err(|error| error.to_string())?;
    let options = evaluate(host, &line, &environment, &Cache::default()).map_err(|error| error.to_string())?;
    let tokens = Tokens::new(host, &options, &environment);
    let mut values = shown(&options);
    values.insert("hostname".into(), vec![tokens.host.clone()]);
    values.insert("user".into(), vec![tokens.user.clone()]);
    values.insert("port".into(), vec![tokens.port.to_string()]);
    Ok(values)
}

fn shown(options: &Options) -> HashMap<String, Vec<String>> {
    let mut values = HashMap::new();
    let mut put = |key: &str, value: Option<String>| {
        if let Some(value) = value {
            values.insert(key.to_owned(), vec![value]);
        }
    };
    let yes_no = |flag: Option<bool>| flag.map(|flag| if flag { "yes" } else { "no" }.to_owned());
    let seconds = |time: std::time::Duration| time.as_secs().to_string();
    put("hostkeyalias", options.host_key_alias.clone());
    put("identitiesonly", yes_no(options.identities_only));
    put("hashknownhosts", yes_no(options.hash_known_hosts));
    put("tcpkeepalive", yes_no(options.tcp_keep_alive));
    put("passwordauthentication", yes_no(options.password_authentication));
    put("kbdinteractiveauthentication", yes_no(options.kbd_interactive_authentication));
    put("compression", yes_no(options.compression));
    put("connecttimeout", options.connect_timeout.map(seconds));
    put("connectionattempts", options.connection_attempts.map(|count| count.to_string()));
    put("serveraliveinterval", options.alive_interval.map(seconds));
    put("serveralivecountmax", options.alive_count_max.map(|count| count.to_string()));
    put("preferredauthentications", options.preferred_authentications.as_ref().map(|methods| methods.join(",")));
    put("userknownhostsfile", options.user_known_hosts.as_ref().map(|files| files.join(" ")));
    put("globalknownhostsfile", options.global_known_hosts.as_ref().map(|files| files.join(" ")));
    put("bindaddress", options.bind_address.clone());
    put("identityagent", options.identity_agent.clone());
    put("addressfamily", options.address_family.map(|family| format!("{family:?}").to_lowercase()));
    put(
        "stricthostkeychecking",
        options.strict_host_keys.map(|strict| match strict {
            StrictHostKeys::Yes => "true".into(),
            StrictHostKeys::No => "false".into(),
            StrictHostKeys::Ask => "ask".into(),
            StrictHostKeys::AcceptNew => "accept-new".into(),
        }),
    );
    match &options.proxy {
        Some(Proxy::Jump(jump)) => put("proxyjump", Some(jump.clone())),
        Some(Proxy::Command(command)) => put("proxycommand", Some(command.clone())),
        _ => {}
    }
    let mut list = |key: &str, list: Vec<String>| {
        if !list.is_empty() {
            values.insert(key.to_owned(), list);
        }
    };
    list("identityfile", options.identity_files.clone());
    list("certificatefile", options.certificate_files.clone());
    list("sendenv", options.send_env.clone());
    list("setenv", options.set_env.iter().map(|(name, value)| format!("{name}={value}")).collect());
    values
}

#[test]
fn openssh_reads_the_same_from_the_same_files() {
    let directory = tempfile::tempdir().unwrap();
    let dir = directory.path();
    std::fs::create_dir(dir.join("inc")).unwrap();
    std::fs::write(dir.join("inc/one.conf"), "Host inc1\n Port 31\n User one\n").unwrap();
    std::fs::write(dir.join("inc/two.conf"), "User two\nHost inc2\n Port 32\n").unwrap();
    let mut compared = 0;
    for (index, (text, hosts)) in CASES.iter().enumerate() {
        let file = dir.join(format!("config{index}"));
        std::fs::write(&file, text.replace("DIR", dir.to_str().unwrap())).unwrap();
        for args in *hosts {
            let args: Vec<&str> = args.split(' ').collect();
            let theirs = ssh_g(&file, &args).unwrap_or_else(|| panic!("ssh refuses {text} {args:?}"));
            let ours = ours(&file, &args).unwrap_or_else(|error| panic!("{text} {args:?}: {error}"));
            for (key, value) in &ours {
                let wanted = theirs.get(key).cloned().unwrap_or_default();
                assert_eq!(value, &wanted, "`{key}` of {args:?} in\n{text}");
                compared += 1;
            }
            for key in ["proxyjump", "proxycommand", "hostkeyalias", "certificatefile", "setenv", "bindaddress"] {
                let wanted = theirs.get(key).filter(|values| values.as_slice() != ["none"]);
                assert_eq!(ours.contains_key(key), wanted.is_some(), "`{key}` of {args:?} in\n{text}");
            }
        }
    }
    assert!(compared > 150, "only {compared} values were compared");
    for text in WRONG {
        let file = dir.join("wrong");
        std::fs::write(&file, format!("# one\n{text}")).unwrap();
        assert!(ssh_g(&file, &["h"]).is_none(), "ssh accepts {text}");
        let error = ours(&file, &["h"]).unwrap_err();
        assert!(error.contains(&format!("{}:2", file.display())), "{text}: {error}");
    }
}

/// The user's file comes before the machine's; the inventory before both.
#[tokio::test]
async fn who_says_it_first() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let environment = Environment {
        home: directory.path().to_owned(),
        user_config: file("user", "Port 1001\nInclude from_user\n"),
        system_config: file("system", "Port 1002\nUser system\nConnectTimeout 7\n"),
        ..Environment::current()
    };
    std::fs::create_dir(directory.path().join(".ssh")).unwrap();
    file(".ssh/from_user", "IdentityFile ~/included\n");
    let pool = super::super::Pool::new(environment);
    let options = SshOptions {
        host: "h".into(),
        connect_timeout: Some(std::time::Duration::from_secs(3)),
        ..SshOptions::default()
    };
    let target = pool.resolve(&options).await.unwrap();
    assert_eq!((target.port, target.user.as_str(), target.connect_timeout.as_secs()), (1001, "system", 7));
    assert_eq!(target.identities.len(), 1);
    assert_eq!(target.identities[0].path, directory.path().join("included"));
    let options = SshOptions {
        port: Some(5),
        user: Some("u".into()),
        args: vec!["-p6".into(), "-oConnectTimeout=9".into()],
        ..options
    };
    let target = pool.resolve(&options).await.unwrap();
    assert_eq!((target.port, target.user.as_str(), target.connect_timeout.as_secs()), (5, "u", 9));
}
