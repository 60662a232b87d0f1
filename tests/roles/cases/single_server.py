"""playbooks/single-server.yml: one box with PostgreSQL, Docker and Caddy, saved by Borg to another one."""
from small_site import DISTRO, INSTALL, LOGIN, SITE, SmallSite
from role import PROJECT

BACKUP = {
    "borg_backup_repository": "ssh://root@{{ hostvars['host-02'].ansible_host }}:22/./{{ inventory_hostname }}",
    "borg_backup_storage_host": "host-02",
    "borg_backup_host_keys": ["{{ (lookup('ansible.builtin.file', inventory_dir ~ '/hosts/host-02/keys/ssh_host_ed25519_key.pub') | split)[:2] | join(' ') }}"],
    "borg_backup_passphrase": "correct horse battery staple",
    "borg_backup_paths": ["/etc", "/srv"],
    "borg_backup_postgresql_databases": ["app"],
}


class SingleServer(SmallSite):
    name = "single-server"
    topology = "flat:2"
    playbook = PROJECT / "playbooks/single-server.yml"
    inventory = {"all": {"children": {"single": {"hosts": {"host-01": None}, "vars": LOGIN}}}}
    variables = DISTRO | BACKUP | {"postgres_memory_mb": 512, "caddy_sites": [SITE]}
    prepare = {"host-02": INSTALL.format("borgbackup")}

    def uses_it(self) -> None:
        self.only_the_deployer_gets_in("host-01")
        self.serves("host-01")
        self.sh("host-01", "docker info >/dev/null")
        self.sql("host-01", "create table kept as select generate_series(1, 100) n", "app")

    def uses_backups(self) -> None:
        self.sh("host-01", "systemctl start borg-backup.service", timeout=900)
        drill = self.run("-l", "host-01", playbook=PROJECT / "playbooks/restore-drill.yml").expect(0)
        assert "tables of 1 databases have the content that they had" in drill.text, drill.text[-2000:]
