//! LVM: asked of its own programs, and only where they are and there is something to ask about.

use rplay_protocol::Object;
use serde_json::{Value, json};

use super::Gather;
use crate::host::Command;

pub(super) fn gather(gather: &Gather<'_>) -> Value {
    if gather.host.uid() != 0 || gather.host.find_program("vgs").is_none() {
        return "N/A".into();
    }
    // A volume group that is active has its volumes in the device mapper; a program's start costs more than all other facts.
    let mapped = gather
        .names("/sys/block")
        .into_iter()
        .any(|name| gather.line(format!("/sys/block/{name}/dm/uuid")).is_some_and(|uuid| uuid.starts_with("LVM-")));
    if !mapped {
        return json!({"lvs": {}, "vgs": {}, "pvs": {}});
    }
    let report = |program: &str, fields: &str| -> Vec<Vec<String>> {
        let options = ["--noheadings", "--nosuffix", "--units", "g", "--separator", ",", "-o", fields];
        let command = Command::new(program).args(options).c_locale().timeout(gather.timeout);
        let text = gather.host.query(&command).map(|o| o.stdout_text()).unwrap_or_default();
        text.lines().map(|line| line.trim().split(',').map(ToOwned::to_owned).collect()).collect()
    };
    describe(
        &report("vgs", "vg_name,pv_count,lv_count,vg_size,vg_free"),
        &report("lvs", "lv_name,vg_name,lv_size"),
        &report("pvs", "pv_name,vg_name,pv_size,pv_free"),
    )
}

fn describe(groups: &[Vec<String>], volumes: &[Vec<String>], physical: &[Vec<String>]) -> Value {
    let (mut vgs, mut lvs, mut pvs) = (Object::new(), Object::new(), Object::new());
    for row in groups {
        if let [name, pv, lv, size, free] = row.as_slice() {
            vgs.insert(name.clone(), json!({"size_g": size, "free_g": free, "num_lvs": lv, "num_pvs": pv}));
        }
    }
    let mut in_groups = Object::new();
    for row in volumes {
        if let [name, group, size] = row.as_slice() {
            let value = json!({"size_g": size, "vg": group});
            lvs.insert(name.clone(), value.clone());
            let of = in_groups.entry(group.clone()).or_insert_with(|| json!({}));
            if let Some(of) = of.as_object_mut() {
                of.insert(name.clone(), json!({"size_g": size}));
            }
        }
    }
    for (name, group) in &mut vgs {
        if let Some(group) = group.as_object_mut() {
            group.insert("lvs".into(), in_groups.remove(name).unwrap_or_else(|| json!({})));
        }
    }
    for row in physical {
        if let [name, group, size, free] = row.as_slice() {
            pvs.insert(name.clone(), json!({"size_g": size, "free_g": free, "vg": group}));
        }
    }
    json!({"lvs": lvs, "vgs": vgs, "pvs": pvs})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_become_facts() {
        let rows = |text: &str| vec![text.split(',').map(ToOwned::to_owned).collect::<Vec<_>>()];
        let got = describe(&rows("vg0,1,2,10.00,4.00"), &rows("root,vg0,6.00"), &rows("/dev/sda2,vg0,10.00,4.00"));
        assert_eq!(got["vgs"]["vg0"]["num_lvs"], "2");
        assert_eq!(got["lvs"]["root"], json!({"size_g": "6.00", "vg": "vg0"}));
        assert_eq!(got["pvs"]["/dev/sda2"]["free_g"], "4.00");
    }
}
