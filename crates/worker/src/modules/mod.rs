//! Every module that runs on a managed host, one file each.

mod acl;
mod alternatives;
mod apache2_module;
mod apk;
mod apt;
mod apt_key;
mod apt_repository;
mod archive;
pub mod assemble;
mod async_status;
mod at;
mod authorized_key;
mod blockinfile;
mod capabilities;
mod command;
mod composer;
mod copy;
mod cpanm;
mod cron;
mod cronvar;
mod crypttab;
mod deb822_repository;
mod debconf;
mod dnf;
mod dpkg_divert;
mod dpkg_selections;
mod edit;
mod encoding;
mod expect;
mod file;
mod files;
mod filesystem;
mod find;
mod firewalld;
mod flatpak;
mod gem;
mod get_url;
mod getent;
mod git;
mod git_config;
mod group;
mod hostname;
mod htpasswd;
pub mod http;
mod ini_file;
#[cfg(test)]
mod injection_tests;
mod interfaces_file;
mod iptables;
mod java_cert;
mod known_hosts;
mod lineinfile;
mod listen_ports_facts;
mod locale_gen;
mod lvg;
mod lvm;
mod lvol;
mod mail;
mod make;
mod modprobe;
mod monit;
mod mount;
mod mount_facts;
mod mysql;
mod npm;
#[cfg(test)]
mod odd_names_tests;
mod openssh_keypair;
mod openssl;
mod openssl_dhparam;
mod package;
mod package_facts;
mod pacman;
mod pam_limits;
mod pamd;
mod parted;
mod patch;
mod pattern;
mod ping;
mod pip;
mod pipx;
mod postgresql;
mod read_csv;
mod replace;
mod rpm_key;
mod seboolean;
mod selinux;
mod service_facts;
mod setup;
mod slurp;
mod snap;
mod ssh_config;
#[cfg(test)]
mod stage;
mod stat;
mod steps;
mod subversion;
mod sudoers;
mod supervisorctl;
mod sysctl;
mod systemd;
mod sysvinit;
mod tempfile;
mod timezone;
mod ufw;
mod unarchive;
mod uri;
mod user;
mod wait_for;
mod xml;
mod yarn;
mod yum_repository;
mod zypper;

use crate::module::Entry;
pub use openssl::told;

/// All modules, by full name.
pub static MODULES: &[Entry] = &[
    Entry::of::<cronvar::CronVar>(),
    Entry::of::<crypttab::Crypttab>(),
    Entry::of::<pacman::Pacman>(),
    Entry::of::<apk::Apk>(),
    Entry::of::<zypper::Zypper>(),
    Entry::of::<dnf::Dnf>(),
    Entry::of::<dnf::Dnf5>(),
    Entry::of::<sysvinit::SysVInit>(),
    Entry::of::<apt_key::AptKey>(),
    Entry::of::<rpm_key::RpmKey>(),
    Entry::of::<yum_repository::YumRepository>(),
    Entry::of::<subversion::Subversion>(),
    Entry::of::<mount_facts::MountFacts>(),
    Entry::of::<deb822_repository::Deb822Repository>(),
    Entry::of::<command::CommandArgs>(),
    Entry::of::<copy::Copy>(),
    Entry::of::<assemble::Assemble>(),
    Entry::of::<getent::Getent>(),
    Entry::of::<known_hosts::KnownHosts>(),
    Entry::of::<debconf::Debconf>(),
    Entry::of::<expect::Expect>(),
    Entry::of::<service_facts::ServiceFacts>(),
    Entry::of::<package_facts::PackageFacts>(),
    Entry::of::<apt_repository::AptRepository>(),
    Entry::of::<pip::Pip>(),
    Entry::of::<unarchive::Unarchive>(),
    Entry::of::<git::Git>(),
    Entry::of::<uri::Uri>(),
    Entry::of::<dpkg_selections::DpkgSelections>(),
    Entry::of::<file::File>(),
    Entry::of::<command::ShellArgs>(),
    Entry::of::<command::Script>(),
    Entry::of::<package::Package>(),
    Entry::of::<systemd::Systemd>(),
    Entry::of::<iptables::Iptables>(),
    Entry::of::<systemd::Service>(),
    Entry::of::<stat::Stat>(),
    Entry::of::<find::Find>(),
    Entry::of::<slurp::Slurp>(),
    Entry::of::<slurp::Fetch>(),
    Entry::of::<lineinfile::LineInFile>(),
    Entry::of::<blockinfile::BlockInFile>(),
    Entry::of::<replace::Replace>(),
    Entry::of::<authorized_key::AuthorizedKey>(),
    Entry::of::<sysctl::Sysctl>(),
    Entry::of::<hostname::Hostname>(),
    Entry::of::<get_url::GetUrl>(),
    Entry::of::<wait_for::WaitFor>(),
    Entry::of::<cron::Cron>(),
    Entry::of::<tempfile::TempFile>(),
    Entry::of::<ping::Ping>(),
    Entry::of::<async_status::AsyncStatus>(),
    Entry::of::<setup::Setup>(),
    Entry::of::<group::Group>(),
    Entry::of::<user::User>(),
    Entry::of::<apt::Apt>(),
    Entry::of::<ufw::Ufw>(),
    Entry::of::<mount::Mount>(),
    Entry::of::<ini_file::IniFile>(),
    Entry::of::<sudoers::Sudoers>(),
    Entry::of::<pam_limits::PamLimits>(),
    Entry::of::<acl::Acl>(),
    Entry::of::<capabilities::Capabilities>(),
    Entry::of::<git_config::GitConfig>(),
    Entry::of::<make::Make>(),
    Entry::of::<locale_gen::LocaleGen>(),
    Entry::of::<at::At>(),
    Entry::of::<alternatives::Alternatives>(),
    Entry::of::<apache2_module::Apache2Module>(),
    Entry::of::<timezone::Timezone>(),
    Entry::of::<modprobe::Modprobe>(),
    Entry::of::<patch::Patch>(),
    Entry::of::<selinux::Selinux>(),
    Entry::of::<seboolean::Seboolean>(),
    Entry::of::<interfaces_file::InterfacesFile>(),
    Entry::of::<htpasswd::Htpasswd>(),
    Entry::of::<pamd::Pamd>(),
    Entry::of::<npm::Npm>(),
    Entry::of::<openssh_keypair::OpensshKeypair>(),
    Entry::of::<openssl_dhparam::OpensslDhparam>(),
    Entry::of::<openssl::PrivateKeyFile>(),
    Entry::of::<openssl::PrivateKeyPipe>(),
    Entry::of::<openssl::CsrFile>(),
    Entry::of::<openssl::CsrPipe>(),
    Entry::of::<openssl::CertificateFile>(),
    Entry::of::<openssl::CertificatePipe>(),
    Entry::of::<openssl::PublicKeyFile>(),
    Entry::of::<openssl::PrivateKeyInfo>(),
    Entry::of::<openssl::CsrInfo>(),
    Entry::of::<openssl::CertificateInfo>(),
    Entry::of::<composer::Composer>(),
    Entry::of::<gem::Gem>(),
    Entry::of::<supervisorctl::Supervisorctl>(),
    Entry::of::<archive::Archive>(),
    Entry::of::<xml::Xml>(),
    Entry::of::<ssh_config::SshConfig>(),
    Entry::of::<flatpak::Flatpak>(),
    Entry::of::<flatpak::FlatpakRemote>(),
    Entry::of::<snap::Snap>(),
    Entry::of::<filesystem::Filesystem>(),
    Entry::of::<parted::Parted>(),
    Entry::of::<lvg::Lvg>(),
    Entry::of::<lvol::Lvol>(),
    Entry::of::<postgresql::Db>(),
    Entry::of::<postgresql::Ext>(),
    Entry::of::<postgresql::Info>(),
    Entry::of::<postgresql::Membership>(),
    Entry::of::<postgresql::Owner>(),
    Entry::of::<postgresql::PgHba>(),
    Entry::of::<postgresql::Ping>(),
    Entry::of::<postgresql::Privs>(),
    Entry::of::<postgresql::Publication>(),
    Entry::of::<postgresql::Query>(),
    Entry::of::<postgresql::Schema>(),
    Entry::of::<postgresql::Script>(),
    Entry::of::<postgresql::Set>(),
    Entry::of::<postgresql::Slot>(),
    Entry::of::<postgresql::Subscription>(),
    Entry::of::<postgresql::Tablespace>(),
    Entry::of::<postgresql::User>(),
    Entry::of::<mysql::Db>(),
    Entry::of::<mysql::Info>(),
    Entry::of::<mysql::Query>(),
    Entry::of::<mysql::User>(),
    Entry::of::<mysql::Variables>(),
    Entry::of::<mail::Mail>(),
    Entry::of::<read_csv::ReadCsv>(),
    Entry::of::<dpkg_divert::DpkgDivert>(),
    Entry::of::<cpanm::Cpanm>(),
    Entry::of::<yarn::Yarn>(),
    Entry::of::<java_cert::JavaCert>(),
    Entry::of::<monit::Monit>(),
    Entry::of::<pipx::Pipx>(),
    Entry::of::<firewalld::Firewalld>(),
    Entry::of::<listen_ports_facts::ListenPortsFacts>(),
];

/// The module of this full name (`ansible.builtin.copy`); `ansible.legacy` means `ansible.builtin`.
#[must_use]
pub fn find(name: &str) -> Option<&'static Entry> {
    let legacy = name.strip_prefix("ansible.legacy.").map(|short| format!("ansible.builtin.{short}"));
    let name = legacy.as_deref().unwrap_or(name);
    MODULES.iter().find(|entry| entry.name == name)
}
