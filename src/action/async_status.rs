//! `async_status`: where results of jobs are.

use std::sync::Arc;

use super::{ActionContext, ActionError, Plan, to_json};
use crate::config;
use crate::remote::Call;
use crate::template::{Templar, TemplateError};
use crate::value::{Map, Value};
use crate::vars::World;

/// The directory for results of jobs, on the host: the variable, the environment, the configuration, the usual one.
pub fn async_directory(templar: &Templar, world: &Arc<World>) -> Result<String, TemplateError> {
    if let Some(value) = templar.variable("ansible_async_dir")?
        && !matches!(value, Value::Null | Value::Omit)
    {
        return Ok(value.to_text());
    }
    let file = world.info.config_file.as_deref();
    let configured = config::lookup(file, "defaults", "async_dir", &["ANSIBLE_ASYNC_DIR"]);
    Ok(configured.filter(|text| !text.is_empty()).unwrap_or_else(rplay_worker::serve::jobs::default_directory))
}

pub(super) fn async_status(ctx: &ActionContext<'_>, mut args: Map) -> Result<Plan, ActionError> {
    ctx.check_args(ctx.module, &args)?;
    args.insert("_async_dir".into(), async_directory(ctx.templar, ctx.world)?.into());
    Ok(Plan::Remote { module: ctx.module, call: Call { args: to_json(&args), content: None } })
}
