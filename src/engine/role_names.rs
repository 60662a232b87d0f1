//! The roles of a play by name, as its variables have them: `ansible_play_role_names`, `ansible_dependent_role_names`.

use crate::playbook::{Item, Play, Role, Used};
use crate::vars::RoleNames;

/// The names when a play begins: the roles that it lists, and those that its tasks import.
///
/// As in the reference the sections come in the order in which it reads them, not in that in which they run.
pub(super) fn of_play(play: &Play) -> RoleNames {
    let listed = play.roles.iter().filter(|role| role.used == Used::Listed);
    let mut names = RoleNames { own: listed.map(|role| role.name.clone()).collect(), dependent: Vec::new() };
    for section in [&play.role_tasks, &play.pre_tasks, &play.post_tasks, &play.tasks] {
        add_brought_in(section, &mut names.own);
    }
    add_dependent(&mut names, play.roles.iter().map(AsRef::as_ref));
    names
}

/// Adds what was included.
pub(super) fn add<'r>(names: &mut RoleNames, items: &[Item], roles: impl Iterator<Item = &'r Role>) {
    add_brought_in(items, &mut names.own);
    add_dependent(names, roles);
}

/// The roles that tasks bring in, the outer before what they bring in themselves; each time counts.
fn add_brought_in(items: &[Item], names: &mut Vec<String>) {
    for item in items {
        let Item::Block(block) = item else { continue };
        let role = block.role.iter().filter(|role| matches!(role.used, Used::Imported | Used::Included));
        names.extend(role.map(|role| role.name.clone()));
        [&block.body, &block.rescue, &block.always].into_iter().for_each(|part| add_brought_in(part, names));
    }
}

fn add_dependent<'r>(names: &mut RoleNames, roles: impl Iterator<Item = &'r Role>) {
    for role in roles.filter(|role| role.used == Used::Dependency) {
        if !names.dependent.contains(&role.name) {
            names.dependent.push(role.name.clone());
        }
    }
}
