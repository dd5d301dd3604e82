use super::RedisServer;
use crate::harness::eventually;

/// The name under which the sentinels know the master.
const NAME: &str = "rookery";

/// A master with two replicas, and three sentinels that watch them.
pub struct Sentinels {
    pub servers: Vec<RedisServer>,
    sentinels: Vec<RedisServer>,
}

impl Sentinels {
    /// Starts them all and waits until they know one another.
    pub async fn start() -> Self {
        let master = RedisServer::start().await;
        let replicas =
            [RedisServer::replica_of(&master).await, RedisServer::replica_of(&master).await];
        eventually("two replicas to follow", async || {
            let info = master.command(&["INFO", "replication"]);
            (info.matches("state=online").count() == 2).then_some(())
        })
        .await;

        let monitor = format!("sentinel monitor {NAME} 127.0.0.1 {} 2", master.port());
        let mut sentinels = Vec::new();
        for _ in 0..3 {
            let arguments = [
                "--sentinel",
                &monitor,
                &format!("sentinel down-after-milliseconds {NAME} 1000"),
                &format!("sentinel failover-timeout {NAME} 3000"),
            ];
            let sentinel = RedisServer::with(&arguments).await;
            // They speak more often, and a busy machine does not make them
            // believe that the clock is wrong.
            sentinel.command(&[
                "SENTINEL",
                "DEBUG",
                "INFO-PERIOD",
                "200",
                "PING-PERIOD",
                "200",
                "ASK-PERIOD",
                "200",
                "PUBLISH-PERIOD",
                "200",
                "TILT-TRIGGER",
                "20000",
                "TILT-PERIOD",
                "500",
            ]);
            sentinels.push(sentinel);
        }
        let servers = [master].into_iter().chain(replicas).collect();
        let started = Self { servers, sentinels };
        started.know_one_another().await;
        started
    }

    async fn know_one_another(&self) {
        for sentinel in &self.sentinels {
            eventually("the sentinels to know one another", async || {
                let master = sentinel.command(&["SENTINEL", "MASTER", NAME]);
                let lines: Vec<&str> = master.lines().collect();
                let is = |name, value| lines.windows(2).any(|pair| pair == [name, value]);
                (is("num-slaves", "2") && is("num-other-sentinels", "2")).then_some(())
            })
            .await;
        }
    }

    /// As `broker.url` names them.
    pub fn url(&self) -> String {
        let places: Vec<String> =
            self.sentinels.iter().map(|it| format!("127.0.0.1:{}", it.port())).collect();
        format!("redis+sentinel://{}/{NAME}", places.join(","))
    }

    /// The master by the word of one of them.
    fn named_by(&self, sentinel: &RedisServer) -> Option<usize> {
        let address = sentinel.command(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME]);
        let port = address.lines().nth(1)?;
        self.servers.iter().position(|it| it.port().to_string() == port)
    }

    /// Which of the servers is the master, by the word of all sentinels.
    pub async fn master(&self) -> usize {
        eventually("the sentinels to agree", async || {
            let mut named = self.sentinels.iter().map(|it| self.named_by(it));
            let first = named.next()??;
            let role = |server: &RedisServer| server.try_command(&["ROLE"]).ok();
            let agreed = named.all(|it| it == Some(first));
            let is_master =
                role(&self.servers[first]).is_some_and(|it| super::text(&it).starts_with("master"));
            (agreed && is_master).then_some(first)
        })
        .await
    }

    /// Waits until the sentinels made another one the master than `former`.
    pub async fn failed_over(&self, former: usize) -> usize {
        eventually("another master", async || {
            let now = self.master().await;
            (now != former).then_some(now)
        })
        .await
    }
}
