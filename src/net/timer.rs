//! One timer per connection, re-armed as rarely as may be.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Instant;
use tokio::task::coop;
use tokio::time::Sleep;

/// Deadlines mostly move away while a connection works, so the sleep is only moved when one comes nearer; when it fires
/// too early it is set anew.
#[derive(Default)]
pub struct Timer(Option<Armed>);

struct Armed {
    sleep: Pin<Box<Sleep>>,
    /// Whom the sleep wakes: that task need not ask it again before it is over.
    wakes: Waker,
}

impl Timer {
    /// Ready once `deadline` has passed; never without one.
    pub fn poll(&mut self, cx: &mut Context<'_>, deadline: Option<Instant>) -> Poll<()> {
        let Some(deadline) = deadline else { return Poll::Pending };
        let Armed { sleep, wakes } = self.0.get_or_insert_with(|| Armed::until(deadline));
        if deadline < sleep.deadline().into_std() {
            sleep.as_mut().reset(deadline.into());
        } else if wakes.will_wake(cx.waker()) && !sleep.is_elapsed() {
            return Poll::Pending;
        }
        loop {
            // Without budget the sleep does not look at who asks.
            let heard = coop::has_budget_remaining();
            if sleep.as_mut().poll(cx).is_pending() {
                wakes.clone_from(if heard { cx.waker() } else { Waker::noop() });
                return Poll::Pending;
            }
            if Instant::now() >= deadline {
                *wakes = Waker::noop().clone();
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline.into());
        }
    }
}

impl Armed {
    fn until(deadline: Instant) -> Self {
        let sleep = Box::pin(tokio::time::sleep_until(deadline.into()));
        Self { sleep, wakes: Waker::noop().clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
    use std::task::Wake;
    use std::time::Duration;

    #[derive(Default)]
    struct Counted(AtomicU32);

    impl Wake for Counted {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    fn on_a_thread(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("runtime");
        runtime
            .block_on(async { tokio::time::timeout(Duration::from_secs(20), test).await.expect("in time") });
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(20)
    }

    #[test]
    fn whoever_asks_last_is_woken() {
        on_a_thread(async {
            let (mut timer, due) = (Timer::default(), soon());
            let first = Arc::new(Counted::default());
            let waker = Waker::from(Arc::clone(&first));
            assert!(timer.poll(&mut Context::from_waker(&waker), Some(due)).is_pending());
            assert!(timer.poll(&mut Context::from_waker(&waker), Some(due)).is_pending());
            poll_fn(|cx| timer.poll(cx, Some(due))).await;
            assert!(Instant::now() >= due);
            assert_eq!(first.0.load(SeqCst), 0, "the first no longer waits");
        });
    }

    #[test]
    fn a_deadline_that_moved_away_is_kept_and_one_that_came_nearer_too() {
        on_a_thread(async {
            let (mut timer, early) = (Timer::default(), soon());
            let late = early + Duration::from_millis(30);
            assert!(poll_fn(|cx| Poll::Ready(timer.poll(cx, Some(early)))).await.is_pending());
            poll_fn(|cx| timer.poll(cx, Some(late))).await;
            assert!(Instant::now() >= late);
            let far = late + Duration::from_secs(3600);
            assert!(poll_fn(|cx| Poll::Ready(timer.poll(cx, Some(far)))).await.is_pending());
            let near = soon();
            poll_fn(|cx| timer.poll(cx, Some(near))).await;
            assert!(Instant::now() >= near);
        });
    }

    #[test]
    fn who_asked_without_budget_is_woken_all_the_same() {
        on_a_thread(async {
            let (mut timer, due) = (Timer::default(), soon());
            let mut spent = false;
            poll_fn(|cx| {
                while !spent && coop::has_budget_remaining() {
                    let _ = coop::poll_proceed(cx).map(|spent| spent.made_progress());
                }
                spent = true;
                timer.poll(cx, Some(due))
            })
            .await;
            assert!(Instant::now() >= due);
        });
    }
}
