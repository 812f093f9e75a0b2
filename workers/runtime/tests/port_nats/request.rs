//! Core NATS: asked and answered, or told why not.

use crate::support::{DEADLINE, bus};
use std::time::Duration;
use worker_runtime::{bus::BusError, testing::nats::Server};

#[tokio::test]
async fn a_question_is_answered_or_nobody_is_there() {
    let server = Server::start().await.unwrap();
    let (asker, server_side) = (bus(&server).await, bus(&server).await);
    let nobody = asker.request("block.submit.a", "x".into(), DEADLINE).await.unwrap_err();
    assert!(matches!(nobody, BusError::NoResponders(_)), "{nobody}");
    let mut served = server_side.serve("block.submit.*").await.unwrap();
    // The subscription stands once the server has answered something on the same connection.
    server_side.request("$JS.API.INFO", "".into(), DEADLINE).await.unwrap();
    let answering = async {
        let request = served.next().await.unwrap();
        assert_eq!(request.subject, "block.submit.a");
        let answer = [request.payload.as_ref(), b"!"].concat();
        request.reply(answer.into()).await.unwrap();
    };
    let asking = asker.request("block.submit.a", "block".into(), DEADLINE);
    let (answer, ()) = tokio::join!(asking, answering);
    assert_eq!(answer.unwrap().as_ref(), b"block!");
    let silent = asker.request("block.submit.a", "y".into(), Duration::from_millis(50)).await;
    assert!(matches!(silent, Err(BusError::TimedOut(_))));
}
