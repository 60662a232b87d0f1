//! Every module that runs on a managed host, one file each.

mod acl;
mod alternatives;
mod apk;
mod apt;
mod apt_key;
mod apt_repository;
pub mod assemble;
mod async_status;
mod at;
mod authorized_key;
mod blockinfile;
mod capabilities;
mod command;
mod copy;
mod cron;
mod cronvar;
mod crypttab;
mod deb822_repository;
mod debconf;
mod dnf;
mod dpkg_selections;
mod edit;
mod encoding;
mod expect;
mod file;
mod files;
mod find;
mod get_url;
mod getent;
mod git;
mod git_config;
mod group;
mod hostname;
pub mod http;
mod ini_file;
mod interfaces_file;
mod iptables;
mod known_hosts;
mod lineinfile;
mod locale_gen;
mod make;
mod modprobe;
mod mount;
mod mount_facts;
mod package;
mod package_facts;
mod pacman;
mod pam_limits;
mod patch;
mod pattern;
mod ping;
mod pip;
mod postgresql;
mod replace;
mod rpm_key;
mod seboolean;
mod selinux;
mod service_facts;
mod setup;
mod slurp;
#[cfg(test)]
mod stage;
mod stat;
mod steps;
mod subversion;
mod sudoers;
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
mod yum_repository;
mod zypper;

use crate::module::Entry;

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
    Entry::of::<timezone::Timezone>(),
    Entry::of::<modprobe::Modprobe>(),
    Entry::of::<patch::Patch>(),
    Entry::of::<selinux::Selinux>(),
    Entry::of::<seboolean::Seboolean>(),
    Entry::of::<interfaces_file::InterfacesFile>(),
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
];

/// The module of this full name (`ansible.builtin.copy`); `ansible.legacy` means `ansible.builtin`.
#[must_use]
pub fn find(name: &str) -> Option<&'static Entry> {
    let legacy = name.strip_prefix("ansible.legacy.").map(|short| format!("ansible.builtin.{short}"));
    let name = legacy.as_deref().unwrap_or(name);
    MODULES.iter().find(|entry| entry.name == name)
}
