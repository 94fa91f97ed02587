//! A comment in a stream of events for as long as there is nothing to say, so that no proxy between
//! takes the silence for the end. Owns [`KeepAlive`].

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt as _, Stream, StreamExt as _, future, stream};
use tokio::time::{Instant, Sleep, sleep, timeout};

/// A comment: whoever reads events leaves it out (HTML, 9.2.6).
const PING: Bytes = Bytes::from_static(b": ping\n\n");
/// How long the answer of the tool loop may be silent: it is, for as long as tools are called and until
/// it is known to be the last word.
const SILENCE: Duration = Duration::from_secs(15);

/// How long streams may be silent; None where it is nobody's concern.
#[derive(Debug, Clone, Copy)]
pub(super) struct KeepAlive {
    /// Answers of the tool loop.
    pub(super) runs: Option<Duration>,
    /// Answers of a model, which come as they are given.
    pub(super) answers: Option<Duration>,
}

impl KeepAlive {
    /// What the configuration says, zero for never.
    pub(super) fn new(said: Option<Duration>) -> Self {
        let said_or = |default| match said {
            Some(Duration::ZERO) => None,
            Some(silence) => Some(silence),
            None => default,
        };
        Self {
            runs: said_or(Some(SILENCE)),
            answers: said_or(None),
        }
    }
}

/// The events, with a comment wherever there was none for so long.
pub(super) fn kept_alive<E: Send>(
    events: impl Stream<Item = Result<Bytes, E>> + Send + Unpin,
    silence: Duration,
) -> impl Stream<Item = Result<Bytes, E>> + Send {
    let timer: Option<Pin<Box<Sleep>>> = None;
    stream::unfold((events, timer), move |(mut events, mut timer)| async move {
        // Most events are there, or come soon: one timer is moved rather than one made for each.
        if let Some(event) = events.next().now_or_never() {
            return Some((event?, (events, timer)));
        }
        let timed = timer.get_or_insert_with(|| Box::pin(sleep(silence)));
        timed.as_mut().reset(Instant::now() + silence);
        let event = match future::select(events.next(), timed.as_mut()).await {
            future::Either::Left((event, _)) => event?,
            future::Either::Right(_) => Ok(PING),
        };
        Some((event, (events, timer)))
    })
}

/// The events once there is a first one, or nothing has come for so long.
///
/// # Errors
/// What the stream failed with instead of a first event.
pub(super) async fn begun<E: Send>(
    mut events: impl Stream<Item = Result<Bytes, E>> + Send + Unpin,
    silence: Option<Duration>,
) -> Result<impl Stream<Item = Result<Bytes, E>> + Send + Unpin, E> {
    let first = match silence {
        Some(silence) => timeout(silence, events.next()).await.ok(),
        None => Some(events.next().await),
    };
    let first = match first {
        Some(event) => event.transpose()?,
        None => Some(PING),
    };
    Ok(stream::iter(first.map(Ok)).chain(events))
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    type Event = Result<Bytes, &'static str>;

    fn events() -> (
        mpsc::UnboundedSender<Event>,
        impl Stream<Item = Event> + Send + Unpin,
    ) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let events = stream::unfold(receiver, |mut receiver| async move {
            Some((receiver.recv().await?, receiver))
        });
        (sender, Box::pin(events))
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_filled_and_nothing_is_lost() {
        let (sender, events) = events();
        let mut heard = Box::pin(kept_alive(events, SILENCE));
        let started = Instant::now();
        assert_eq!(heard.next().await, Some(Ok(PING)));
        assert_eq!(heard.next().await, Some(Ok(PING)));
        assert_eq!(started.elapsed(), SILENCE * 2);
        for word in ["a", "b"] {
            sender.send(Ok(Bytes::from(word))).unwrap();
        }
        assert_eq!(heard.next().await, Some(Ok("a".into())));
        assert_eq!(heard.next().await, Some(Ok("b".into())));
        assert_eq!(started.elapsed(), SILENCE * 2);
        assert_eq!(heard.next().await, Some(Ok(PING)));
        sender.send(Err("broken")).unwrap();
        drop(sender);
        assert_eq!(heard.next().await, Some(Err("broken")));
        assert_eq!(heard.next().await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_begins_with_its_first_event_or_after_a_silence() {
        let (sender, stream) = events();
        sender.send(Ok("a".into())).unwrap();
        let mut begun_now = begun(stream, Some(SILENCE)).await.unwrap();
        assert_eq!(begun_now.next().await, Some(Ok("a".into())));
        let (sender, stream) = events();
        sender.send(Err("broken")).unwrap();
        assert_eq!(begun(stream, Some(SILENCE)).await.err(), Some("broken"));
        let (sender, stream) = events();
        let mut begun_late = begun(stream, Some(SILENCE)).await.unwrap();
        sender.send(Ok("b".into())).unwrap();
        drop(sender);
        let heard: Vec<_> = [begun_late.next().await, begun_late.next().await].into();
        assert_eq!(heard, [Some(Ok(PING)), Some(Ok("b".into()))]);
        assert_eq!(begun_late.next().await, None);
    }

    #[test]
    fn zero_is_never_and_answers_of_models_are_left_as_they_are() {
        let default = KeepAlive::new(None);
        assert_eq!((default.runs, default.answers), (Some(SILENCE), None));
        let never = KeepAlive::new(Some(Duration::ZERO));
        assert_eq!((never.runs, never.answers), (None, None));
        let often = Duration::from_secs(5);
        let said = KeepAlive::new(Some(often));
        assert_eq!((said.runs, said.answers), (Some(often), Some(often)));
    }
}
