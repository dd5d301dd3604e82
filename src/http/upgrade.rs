//! From a request to a socket.
//!
//! actix-http hands a request for `Upgrade: websocket` to a service of its own,
//! together with the connection. That service asks the application, like any
//! request is; where the answer is 101 it carries the [`Seed`] of a session,
//! which takes the connection over. The HTTP layer and its buffers are out of
//! the way from there on, and the session alone decides when bytes are written
//! and when TCP ends.

use std::{
    error::Error as StdError,
    future::poll_fn,
    io,
    pin::{Pin, pin},
    rc::Rc,
    sync::Arc,
};

use actix_codec::Framed;
use actix_http::{
    Request, Response,
    body::{BodySize, MessageBody},
    h1::{Codec, Message},
};
use actix_service::{Service, ServiceFactory, fn_factory, fn_service};

use crate::{
    net::Connection,
    session::{Seed, Services, Worker},
};

type Http = Framed<Connection, Codec>;

/// The service for requests that ask for an upgrade; `application` makes the
/// service that answers them.
pub fn factory<F, A, B>(
    services: Arc<Services>,
    application: F,
) -> impl ServiceFactory<
    (Request, Http),
    Config = (),
    Response = (),
    Error = actix_web::Error,
    InitError = (),
>
where
    F: Fn() -> A + Clone + 'static,
    A: ServiceFactory<Request, Config = (), InitError = ()> + 'static,
    A::Response: Into<Response<B>>,
    A::Error: Into<Response<actix_http::body::BoxBody>>,
    A::Service: 'static,
    B: MessageBody + 'static,
    B::Error: Into<Box<dyn StdError>>,
{
    fn_factory(move || {
        let (services, application) = (services.clone(), application.clone());
        async move {
            // This is the worker's thread, and it begins.
            drop(Worker::current(&services));
            let application = Rc::new(application().new_service(()).await?);
            Ok(fn_service(move |(request, connection): (Request, Http)| {
                let (services, application) = (services.clone(), application.clone());
                async move {
                    match application.call(request).await {
                        Ok(response) => answer(&services, connection, response.into()).await,
                        Err(error) => answer(&services, connection, error.into()).await,
                    }
                }
            }))
        }
    })
}

/// Writes the answer; where it is 101, the session begins and writes it.
async fn answer<B>(
    services: &Arc<Services>,
    mut connection: Http,
    mut response: Response<B>,
) -> Result<(), actix_web::Error>
where
    B: MessageBody,
    B::Error: Into<Box<dyn StdError>>,
{
    let seed = response.extensions_mut().remove::<Seed>();
    let (head, body) = response.into_parts();
    if let Some(seed) = seed {
        write(&mut connection, Message::Item((head, BodySize::None)))?;
        let parts = connection.into_parts();
        let (socket, answer) = (parts.io.into_socket(), parts.write_buf.freeze());
        seed.start(Worker::current(services), socket, answer, parts.read_buf);
        return Ok(());
    }
    let size = body.size();
    write(&mut connection, Message::Item((head, size)))?;
    if !matches!(size, BodySize::None | BodySize::Sized(0)) {
        let mut body = pin!(body);
        while let Some(chunk) = poll_fn(|cx| body.as_mut().poll_next(cx)).await {
            let chunk = chunk.map_err(|error| io::Error::other(error.into().to_string()))?;
            write(&mut connection, Message::Chunk(Some(chunk)))?;
            flush(&mut connection).await?;
        }
        write(&mut connection, Message::Chunk(None))?;
    }
    // What follows a refused upgrade on this connection is unknown: it ends here.
    Ok(flush(&mut connection).await?)
}

type Frame = Message<(Response<()>, BodySize)>;

fn write(connection: &mut Http, frame: Frame) -> io::Result<()> {
    Pin::new(connection).write(frame)
}

async fn flush(connection: &mut Http) -> io::Result<()> {
    poll_fn(|cx| Pin::new(&mut *connection).flush::<Frame>(cx)).await
}
