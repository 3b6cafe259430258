"""The steps from an empty file to the current schema, which docs/database.md describes. A released step never changes."""

from __future__ import annotations

_FIRST = """
create table meta (
    schema_version integer not null,
    uuid_namespace uuid not null,
    folded_seq bigint not null,
    created_at timestamp not null
);
create table accounts (
    account_id varchar primary key,
    name varchar not null unique,
    created_at timestamp not null
);
create table lists (
    list_id bigint primary key,
    account_id varchar not null,
    name varchar not null,
    created_at timestamp not null
);
create table api_keys (
    key_id varchar primary key,
    account_id varchar not null,
    scope varchar not null,
    key_hash blob not null unique,
    created_at timestamp not null,
    revoked_at timestamp
);
create table sessions (
    session_hash blob primary key,
    account_id varchar not null,
    created_at timestamp not null,
    expires_at timestamp not null,
    revoked_at timestamp
);
create table events (
    seq bigint not null,
    event_id uuid not null,
    account_id varchar not null,
    list_id bigint not null,
    event varchar not null,
    visitor uuid not null,
    external_id varchar not null,
    email varchar,
    occurred_at timestamp not null,
    received_at timestamp not null,
    properties json not null
);
create table bindings (
    list_id bigint not null,
    visitor uuid not null,
    email varchar not null,
    traits json,
    bound_at timestamp not null,
    primary key (list_id, visitor, email)
);
create table event_ids (
    account_id varchar not null,
    event_id uuid not null,
    visitor uuid not null,
    external_id varchar not null,
    identify_event_sent boolean not null,
    stored_at timestamp not null,
    primary key (account_id, event_id)
);
create table event_types (
    list_id bigint not null,
    event varchar not null,
    events bigint not null,
    first_seen timestamp not null,
    last_seen timestamp not null
);
create table event_properties (
    list_id bigint not null,
    event varchar not null,
    name varchar not null,
    value_type varchar not null,
    events bigint not null,
    first_seen timestamp not null,
    last_seen timestamp not null
);
insert into meta values (0, '{namespace}', 0, now() at time zone 'utc');
"""

_FOR_THE_WEB = """
alter table events add column client_timestamp timestamp;
alter table events add column client_address varchar;
alter table api_keys add column origins varchar[];
alter table api_keys add column list_ids bigint[];
create table list_rules (
    list_id bigint primary key,
    bots varchar not null,
    denied varchar[] not null,
    redacted varchar[] not null
);
create table dropped_events (
    list_id bigint primary key,
    events bigint not null,
    first_seen timestamp not null,
    last_seen timestamp not null
);
"""

_JOURNAL = "alter table meta add column journal_applied bigint default 0"

# No primary keys: the tables are small, one thread writes them, and updating a row with a list column would violate its key.
_WEBHOOKS = """
create table webhooks (
    webhook_id varchar not null,
    url varchar not null,
    secret varchar not null,
    old_secret varchar,
    old_secret_until timestamp,
    list_ids bigint[],
    events varchar[],
    created_at timestamp not null,
    next_seq bigint not null,
    disabled boolean not null,
    failures integer not null,
    resume_at timestamp,
    last_error varchar
);
create table deliveries (
    webhook_id varchar not null,
    seq bigint not null,
    event_id uuid not null,
    list_id bigint not null,
    visitor uuid not null,
    attempts integer not null,
    next_attempt_at timestamp not null,
    last_status integer,
    last_error varchar,
    failed boolean not null
);
"""

# No primary keys: DuckDB keeps their indexes in memory, and these tables grow with traffic.
_NO_INDEXES = """
create table kept_event_ids (
    account_id varchar not null,
    event_id uuid not null,
    visitor uuid not null,
    external_id varchar not null,
    identify_event_sent boolean not null,
    stored_at timestamp not null
);
insert into kept_event_ids
    select coalesce(known.account_id || '/' || stored.list_id, known.account_id), known.* exclude (account_id)
    from event_ids as known
    left join events as stored on stored.event_id = known.event_id and stored.received_at = known.stored_at
    order by known.stored_at;
drop table event_ids;
alter table kept_event_ids rename to event_ids;
create table kept_bindings (
    list_id bigint not null,
    visitor uuid not null,
    email varchar not null,
    traits json,
    bound_at timestamp not null
);
insert into kept_bindings from bindings;
drop table bindings;
alter table kept_bindings rename to bindings;
create table key_filters (
    table_name varchar not null,
    number integer not null,
    first_at timestamp not null,
    last_at timestamp not null,
    keys bigint not null,
    room bigint not null,
    bits blob not null,
    mark_at timestamp not null,
    mark bigint not null,
    signature blob not null
);
"""

_ANSWERS = """
alter table events add column automatic boolean;
alter table list_rules add column time_zone varchar default 'UTC';
create table saved_queries (
    list_id bigint not null,
    name varchar not null,
    kind varchar not null,
    definition varchar not null,
    saved_at timestamp not null
);
alter table meta add column columns_seq bigint default 0;
create table event_columns (
    seq bigint not null,
    list_id bigint not null,
    event varchar not null,
    visitor_key bigint not null,
    address_key bigint,
    occurred_at timestamp not null,
    url varchar,
    host varchar,
    path varchar,
    title varchar,
    referrer varchar,
    referring_domain varchar,
    utm_source varchar,
    utm_medium varchar,
    utm_campaign varchar,
    utm_term varchar,
    utm_content varchar,
    browser varchar,
    browser_version varchar,
    os varchar,
    device_type varchar,
    language varchar,
    screen varchar,
    bot boolean not null,
    automatic boolean not null,
    conversion_id varchar,
    conversion_value double
);
create table visitor_keys (
    visitor_key bigint not null,
    list_id bigint not null,
    visitor uuid not null
);
create table address_keys (
    address_key bigint not null,
    list_id bigint not null,
    address varchar not null
);
create table visitor_addresses (
    list_id bigint not null,
    visitor_key bigint not null,
    address_key bigint not null,
    number bigint not null,
    seq bigint not null
);
create table address_times (
    list_id bigint not null,
    visitor_key bigint not null,
    address_key bigint not null,
    occurred_at timestamp not null,
    seq bigint not null
);
"""

_PROMOTED = """
alter table list_rules add column indexed varchar[];
create table promoted_properties (
    list_id bigint not null,
    number integer not null,
    name varchar,
    asked boolean not null,
    filled_seq bigint not null,
    until_seq bigint not null
);
"""

_RETENTION = """
alter table list_rules add column keep_days integer;
alter table event_types add column deleted bigint default 0;
create table prunings (
    list_id bigint not null,
    before timestamp not null,
    day date not null,
    time_zone varchar not null,
    events bigint not null,
    last_seq bigint not null
);
create table daily_totals (
    list_id bigint not null,
    time_zone varchar not null,
    day date not null,
    begins_at timestamp not null,
    event varchar,
    events bigint not null,
    people bigint not null,
    visitors bigint not null,
    views bigint not null,
    conversions bigint not null,
    revenue double,
    changed_at timestamp not null
);
create table daily_units (
    list_id bigint not null,
    time_zone varchar not null,
    day date not null,
    begins_at timestamp not null,
    event varchar,
    is_person boolean not null,
    unit bigint not null
);
create table first_events (
    list_id bigint not null,
    event varchar not null,
    visitor_key bigint not null,
    address_key bigint,
    person_key bigint not null,
    automatic boolean not null,
    occurred_at timestamp not null,
    seq bigint not null
);
create table kept_addresses (
    list_id bigint not null,
    visitor_key bigint not null,
    address_key bigint not null,
    occurred_at timestamp not null,
    seq bigint not null
);
create table counted_orders (
    list_id bigint not null,
    digest varchar not null
);
"""

_DASHBOARD = """
alter table sessions add column key_hash blob;
create table dashboard_views (
    list_id bigint not null,
    board varchar not null,
    name varchar not null,
    location varchar not null,
    created_at timestamp not null
);
create table dashboard_shares (
    share_id varchar not null,
    list_id bigint not null,
    secret_hash blob not null,
    location varchar not null,
    password_hash varchar,
    is_public boolean not null,
    embed boolean not null,
    created_at timestamp not null,
    revoked_at timestamp
);
"""

MIGRATIONS: tuple[str, ...] = (
    _FIRST,
    _FOR_THE_WEB,
    _JOURNAL,
    _WEBHOOKS,
    _NO_INDEXES,
    _ANSWERS,
    _PROMOTED,
    _RETENTION,
    _DASHBOARD,
)
"""Step n migrates schema version n to n + 1. A released step never changes."""

SCHEMA_VERSION = len(MIGRATIONS)
