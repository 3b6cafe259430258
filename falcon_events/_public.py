"""The public names of falcon_events. The package imports this module on the first use of one of them."""

from falcon_events.access.protocol import Access as Access, Credential as Credential, Principal as Principal, Scope as Scope
from falcon_events.admin.sql import SqlResult as SqlResult
from falcon_events.contract.replies import Tracked as Tracked
from falcon_events.errors import (
    AlreadyExists as AlreadyExists,
    EventDropped as EventDropped,
    EventRefused as EventRefused,
    EventsError as EventsError,
    Failure as Failure,
    InvalidRequest as InvalidRequest,
    NotAllowed as NotAllowed,
    NotAuthenticated as NotAuthenticated,
    NotFound as NotFound,
    PlanError as PlanError,
    QueryTooLong as QueryTooLong,
    RateLimited as RateLimited,
    RequestRefused as RequestRefused,
    SettingError as SettingError,
    StoreClosed as StoreClosed,
    StoreError as StoreError,
    StoreLocked as StoreLocked,
    StoreMissing as StoreMissing,
    StoreUnavailable as StoreUnavailable,
)
from falcon_events.hooks.events import CommittedEvent as CommittedEvent, IncomingEvent as IncomingEvent
from falcon_events.model.answers import (
    ForgetResult as ForgetResult,
    FunnelGroup as FunnelGroup,
    FunnelResult as FunnelResult,
    FunnelStep as FunnelStep,
    PeopleResult as PeopleResult,
    PersonRow as PersonRow,
    QueryResult as QueryResult,
    QueryRow as QueryRow,
    RetentionCohort as RetentionCohort,
    RetentionResult as RetentionResult,
    SavedResult as SavedResult,
    SavedRow as SavedRow,
    SaveResult as SaveResult,
    StepCounts as StepCounts,
    TimelineResult as TimelineResult,
    TimelineRow as TimelineRow,
    ValueRow as ValueRow,
    ValuesResult as ValuesResult,
)
from falcon_events.plan.declarations import event as event
from falcon_events.plan.plan import Plan as Plan
from falcon_events.runtime.environment import freeze_support as freeze_support
from falcon_events.settings import Settings as Settings
from falcon_events.tracking import EventTracking as EventTracking
