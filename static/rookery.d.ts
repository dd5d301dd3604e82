/** Types of `rookery.js`; what each thing does is told there. */

export type ConnectionState = "disconnected" | "connecting" | "connected";
/** A WebSocket, or Server-Sent Events and POST. */
export type Transport = "websocket" | "events";
export type RoomState = "left" | "joining" | "joined";
export type Status = "online" | "away" | "busy";
export type OnlineStatus = Status | "offline";
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** A position in a room's log. */
export interface Position {
  epoch: string;
  seq: number;
}

/** One user in a room, however many sessions it has. */
export interface Member {
  user: string;
  name: string;
  status: Status;
  sessions: number;
  /** Milliseconds since the Unix epoch. */
  since: number;
  meta: Json;
}

interface LogEntry {
  room: string;
  seq: number;
  /** Null where a backend published without a user. */
  user: string | null;
  timestamp: number;
  /** On own messages only. */
  nonce?: string;
}
export interface ChatMessage extends LogEntry {
  type: "chat";
  content: string;
}
export interface EventMessage extends LogEntry {
  type: "event";
  event: string;
  data: Json;
}
export interface SetMessage extends LogEntry {
  type: "set";
  key: string;
  /** Null: the key was deleted. */
  value: Json;
  version: number;
}
/** An entry of a room's log. */
export type LogMessage = ChatMessage | EventMessage | SetMessage;

export interface DirectMessage {
  type: "direct";
  /**
   * Position in the recipient's inbox; absent on the copy to the sender. When the epoch
   * changes, `seq` begins anew.
   */
  epoch?: string;
  seq?: number;
  from: string | null;
  to: string;
  content?: string;
  event?: string;
  data?: Json;
  timestamp: number;
  nonce?: string;
}

/** What a write resolves with once it is in the log. */
export interface Acknowledged {
  seq: number;
  epoch: string;
  /** True where an earlier sending of the same nonce had arrived already. */
  duplicate: boolean;
  nonce: string;
}

export interface WriteOptions {
  /** Makes the write idempotent; a random one by default. At most 64 characters. */
  nonce?: string;
  /** False: this session does not get its own message. */
  echo?: boolean;
}

export interface SetOptions {
  /** The key's version as known, 0 for "must not exist"; else `conflict`. */
  ifVersion?: number;
  nonce?: string;
}

export interface HistoryPage {
  epoch: string;
  messages: LogMessage[];
  more: boolean;
}

export interface JoinOptions {
  /** How many of the newest entries to begin with. */
  history?: number;
  /** Resume from here. */
  since?: Position;
}

export interface TokenRequest {
  reason: "connect" | "refresh" | "expired" | "revoked" | "refused";
  /** The user so far; a refresh must be for the same one. */
  user: string | null;
}

export interface RookeryOptions {
  token?: string | ((request: TokenRequest) => string | null | Promise<string | null>);
  /** `auto`: a WebSocket, and events while no WebSocket gets through. */
  transport?: "auto" | Transport;
  eventsUrl?: string | URL;
  fetch?: typeof fetch;
  WebSocket?: new (url: string, protocols?: string[]) => unknown;
  networkEvents?: EventTarget;
  minDelayMs?: number;
  maxDelayMs?: number;
  connectTimeoutMs?: number;
  requestTimeoutMs?: number;
  maxQueued?: number;
  socketRetryMs?: number;
}

export interface StateChange {
  state: ConnectionState;
  previous: ConnectionState;
  /** Of the close that led here. */
  code?: number;
  reason?: string;
  /** When the next attempt is due. */
  retryAt: number | null;
}

export interface ClientEvents {
  state: (change: StateChange) => void;
  direct: (message: DirectMessage) => void;
  online: (users: Map<string, OnlineStatus>) => void;
  reauthenticate: (notice: { expiresAt: number; inMs: number }) => void;
  closing: (notice: { reason: string; reconnect: boolean; afterMs: number }) => void;
  error: (error: RookeryError) => void;
}

export interface RoomEvents {
  joined: (joined: { recovered: boolean; resumed: boolean; epoch: string; seq: number; count: number }) => void;
  message: (message: LogMessage, context: { replayed: boolean }) => void;
  presence: (change: {
    joined: Member[];
    updated: Member[];
    left: string[];
    count: number;
    /** True where the whole list was replaced; `joined` is then all of it. */
    snapshot: boolean;
  }) => void;
  state: (change: { keys: string[]; snapshot: boolean }) => void;
  typing: (change: { user: string; active: boolean }) => void;
  signal: (signal: { user: string; event: string; data: Json }) => void;
  joining: (change: { reason?: string }) => void;
  left: (change: { reason: string }) => void;
  error: (error: RookeryError) => void;
}

export class RookeryError extends Error {
  constructor(code: string, message: string, details?: Partial<Omit<RookeryError, "name" | "code" | "message">>);
  readonly code: string;
  readonly room?: string;
  /** At `conflict`: what the key holds. */
  readonly current?: { value: Json; version: number };
  readonly retryAfterMs?: number;
  readonly closeCode?: number;
  readonly reason?: string;
}

/** Made by `Rookery.join`. */
export interface Room {
  readonly name: string;
  readonly state: RoomState;
  readonly epoch: string | null;
  readonly seq: number;
  readonly members: ReadonlyMap<string, Member>;
  readonly count: number;
  readonly shared: ReadonlyMap<string, { value: Json; version: number }>;
  readonly typingUsers: string[];

  on<E extends keyof RoomEvents>(event: E, listener: RoomEvents[E]): () => void;
  ready(): Promise<Room>;
  chat(content: string, options?: WriteOptions): Promise<Acknowledged>;
  publish(event: string, data: Json, options?: WriteOptions): Promise<Acknowledged>;
  set(key: string, value: Json, options?: SetOptions): Promise<Acknowledged>;
  signal(event: string, data?: Json): boolean;
  typing(active?: boolean): void;
  history(page?: { before?: number; after?: number; limit?: number }): Promise<HistoryPage>;
  presence(): Promise<ReadonlyMap<string, Member>>;
  leave(): Promise<void>;
}

export class Rookery {
  constructor(url?: string | URL, options?: RookeryOptions);
  readonly state: ConnectionState;
  readonly transport: Transport;
  readonly user: string | null;
  readonly session: string | null;
  readonly node: string | null;
  readonly limits: { message_bytes?: number; [name: string]: unknown };
  readonly expiresAt: number | null;
  readonly retryAt: number | null;
  readonly inbox: { epoch: string | null; seq: number };
  readonly rooms: ReadonlyMap<string, Room>;
  readonly online: ReadonlyMap<string, OnlineStatus>;
  readonly queued: number;

  on<E extends keyof ClientEvents>(event: E, listener: ClientEvents[E]): () => void;
  connect(): this;
  ready(): Promise<this>;
  reconnectNow(): void;
  close(): void;
  join(name: string, options?: JoinOptions): Room;
  direct(
    to: string,
    content: string | { event: string; data?: Json },
    options?: { nonce?: string },
  ): Promise<Acknowledged>;
  /** Up to a direct message, or a position; a `seq` alone is one of `inbox.epoch`. */
  seen(position: number | { epoch?: string; seq?: number }): Promise<void>;
  status(status: Status, meta?: Json): Promise<void>;
  watch(users: Iterable<string>): Promise<Map<string, OnlineStatus>>;
  unwatch(users: Iterable<string>): Promise<void>;
  refresh(token: string): Promise<void>;
}

export function backoffDelay(attempt: number, base?: number, cap?: number): number;
export function createNonce(): string;
export function closeAdvice(code: number, reason?: string): "reconnect" | "renew" | "slow" | "stay" | "fix";
