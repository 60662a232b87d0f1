//! Work that blocks, on few threads however many hosts there are.

use tokio::sync::Semaphore;
use tokio::task::JoinError;

/// Files and key derivation: as many at a time as there may be processors.
static FILES: Semaphore = Semaphore::const_new(8);
/// Name look-ups, which mostly wait.
static NAMES: Semaphore = Semaphore::const_new(32);

/// Runs `work` on a thread where it may block. tokio alone would start one thread per host, up to 512.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, JoinError> {
    // The semaphore is never closed, and without its permit the work is as right.
    let _permit = FILES.acquire().await.ok();
    tokio::task::spawn_blocking(work).await
}

/// Looks a name up, on few threads.
pub async fn look_up(host: &str, port: u16) -> std::io::Result<Vec<std::net::SocketAddr>> {
    let _permit = NAMES.acquire().await.ok();
    Ok(tokio::net::lookup_host((host, port)).await?.collect())
}
