// The tracker: what happens on a page becomes events of POST /api/v1/events.
// An event is written to the outbox (localStorage) before it is sent, and removed when the server has answered: so none is
// lost with the page, and one that is sent again has its EventID, under which the server stores it once.
((window, document, navigator, location) => {

  let script = document.currentScript;
  let option = (name, otherwise) => script.getAttribute("data-" + name) || otherwise;
  let name = option("object", "oct");
  let before = window[name] || {};
  if (before.v) return; // the snippet stands in the page twice

  let version = VERSION; // put in when the file is made small
  let list = option("list");
  let endpoint = option("endpoint", new URL("api/v1/events", script.src).href);
  let origin = new URL(endpoint).origin;
  let storage = option("storage", "cookie");
  let prefix = "oct_" + list + "_";
  let uuidName = "oct_uuid";

  let MOST_BYTES = 6e4; // browsers refuse keepalive requests of more than 65,536
  let MOST_KEPT = 500; // in the outbox
  let MOMENT = 50; // for others to join a request, in milliseconds
  let LEASE = 15e3; // for how long an event under way is left to the page that has it
  let ARRIVAL = 3e3; // for how long one is left alone whose page has gone
  let MOST_AGE = 16e7; // of an event, in milliseconds: later the server may have forgotten its EventID

  // Storage that may be refused, absent or full.
  let local = (key, value) => {
    try {
      let kept = window.localStorage;
      if (value === undefined) return kept.getItem(key);
      if (value === null) kept.removeItem(key);
      else kept.setItem(key, value);
      return true;
    } catch (refused) {
      return null;
    }
  };
  let cookie = (value, days) => {
    document.cookie =
      uuidName + "=" + value + ";path=/;max-age=" + days * 86400 + ";SameSite=Lax" +
      (option("domain") ? ";domain=" + option("domain") : "") + (location.protocol == "https:" ? ";Secure" : "");
  };
  let cookieValue = () => (document.cookie.match("(?:^|; )" + uuidName + "=([^;]+)") || [])[1];
  let persistent = storage != "none";

  // crypto.randomUUID is there on secure origins only; the name of an object URL is a random UUID on all (File API, 8.3.1).
  let randomUUID = () => {
    let url = URL.createObjectURL(new Blob());
    URL.revokeObjectURL(url);
    return url.slice(-36);
  };

  let visitor;
  let visitorUUID = () => {
    if (!visitor) {
      visitor = (persistent && (cookieValue() || local(uuidName))) || randomUUID();
      keepVisitor();
    }
    return visitor;
  };
  let keepVisitor = () => {
    if (!persistent) return;
    if (storage == "cookie") cookie(visitor, option("days", 365));
    if (cookieValue() != visitor) local(uuidName, visitor);
  };
  let forgetVisitor = () => {
    visitor = 0;
    if (persistent) {
      cookie("", 0);
      local(uuidName, null);
    }
  };

  let silenced; // opted out on a page without storage
  let isSilent = () =>
    silenced || local("oct_optout") || (option("dnt") != "ignore" && (navigator.doNotTrack == 1 || navigator.globalPrivacyControl));

  // What the browser is.
  let agent = navigator.userAgent;
  let found = (pattern) => (agent.match(pattern) || [])[0] || "";
  let browser = /(Edg\w*|OPR|SamsungBrowser|FxiOS|Firefox|CriOS)\/([\d.]+)/.exec(agent) ||
    /(Chrome|Version)\/([\d.]+)/.exec(agent) || [0, "", ""];
  let browserName = { OPR: "Opera", FxiOS: "Firefox", CriOS: "Chrome", Version: "Safari", SamsungBrowser: "Samsung Internet" };
  let device = found(/iPhone|iPad|Android|Windows|Mac|CrOS|Linux(?!.*Android)/);
  let os = { iPhone: "iOS", iPad: "iOS", Mac: "macOS", CrOS: "Chrome OS" };

  let properties = (given) => {
    let referrer = document.referrer;
    return {
      $browser: browserName[browser[1]] || browser[1].replace(/Edg.*/, "Edge"),
      $browser_language: navigator.language,
      $browser_version: browser[2],
      $current_url: location.href,
      $device: device,
      $device_type: found(/iPad|Tablet|Android(?!.*Mobile)/) ? "Tablet" : found("Mobi") ? "Mobile" : "Desktop",
      $dsn: origin + "/" + list,
      $host: location.host,
      $lib: "falcon-events",
      $lib_version: version,
      $list_id: +list,
      $os: os[device] || device,
      $pageTitle: document.title,
      $pathname: location.pathname,
      $referrer: referrer,
      $referring_domain: referrer && new URL(referrer).host,
      $screen_height: screen.height,
      $screen_width: screen.width,
      $server: origin,
      $uuid: visitorUUID(),
      $viewport_height: window.innerHeight,
      $viewport_width: window.innerWidth,
      ...(referrer ? 0 : { $direct: true }),
      ...given,
    };
  };

  // The outbox: events in order, each also under a key of its own in localStorage.
  let waiting = [];
  let busy, timer, failures = 0, retryAt = 0;

  let keep = (event, until) => {
    if (persistent) local(prefix + event.EventID, JSON.stringify([until, event]));
  };
  let remove = (event) => {
    waiting = waiting.filter((other) => other != event);
    if (persistent) local(prefix + event.EventID, null);
  };
  // What other pages have left behind: those whose time with their page is over.
  let collect = () => {
    if (!persistent || isSilent()) return;
    let now = Date.now(), later;
    try {
      Object.keys(localStorage).forEach((key) => {
        if (key.indexOf(prefix)) return;
        let [until, event] = JSON.parse(local(key));
        if (waiting.some((other) => other.EventID == event.EventID)) return;
        if (now - new Date(event.Timestamp) > MOST_AGE) local(key, null);
        else if (until > now) later = Math.min(later || LEASE, until - now);
        else {
          waiting.push(event);
          keep(event, now + LEASE);
        }
      });
    } catch (refused) {}
    waiting.sort((one, other) => (one.Timestamp > other.Timestamp ? 1 : -1));
    if (later) setTimeout(collect, later + 99);
    if (waiting.length) soon();
  };
  let soon = () => {
    clearTimeout(timer);
    timer = setTimeout(send, Math.max(MOMENT, retryAt - Date.now()));
  };

  // The next request's events and body.
  let pack = (events, lease) => {
    let now = new Date(), size = 99, parts = [], full;
    events = events.filter((event) => {
      event.Properties.$sent_at = now.toISOString();
      let text = JSON.stringify(event), bytes = new Blob([text]).size + 1;
      full = full || (parts.length && size + bytes > MOST_BYTES);
      if (full) return;
      size += bytes;
      parts.push(text);
      keep(event, +now + lease);
      return 1;
    });
    return [events, '{"APIKey":' + JSON.stringify(option("key", "")) + ',"ListID":' + list + ',"Events":[' + parts + "]}", size];
  };
  let again = (after) => {
    retryAt = Date.now() + (after * 1e3 || Math.min(6e4, 500 * Math.pow(2, failures++)));
    waiting.forEach((event) => keep(event, retryAt + LEASE));
  };
  let send = () => {
    clearTimeout(timer);
    if (busy || !waiting.length) return;
    busy = pack(waiting, LEASE);
    fetch(endpoint, { method: "POST", body: busy[1], credentials: "omit", keepalive: busy[2] < MOST_BYTES })
      .then((response) => {
        let status = response.status;
        if (status == 429 || status >= 500) throw response.headers.get("Retry-After");
        return response.json();
      })
      .then((answer) => {
        failures = retryAt = 0;
        busy[0].forEach((event, number) => {
          let errors = (answer.Results ? answer.Results[number] : answer).Errors;
          if (errors) console.warn(name, event.Event, errors);
          if (answer.Results && errors && errors[0].Code > 99) retryAt = Date.now() + 2e3; // not this event's fault
          else remove(event);
        });
      })
      .catch(again)
      .then(() => {
        busy = 0;
        if (waiting.length) soon();
      });
  };
  // The page goes: what is not under way is handed to the browser. Its answer is nobody's, so it stays in the outbox for the
  // next page, which gives it the time to arrive.
  let leave = () => {
    let left = waiting.filter((event) => {
      keep(event, Date.now() + ARRIVAL);
      return !busy || busy[0].indexOf(event) < 0;
    });
    while (left.length) {
      let packed = pack(left, ARRIVAL);
      if (!navigator.sendBeacon(endpoint, packed[1])) break;
      left = left.slice(packed[0].length);
    }
  };

  let track = (event, given, more) => {
    if (isSilent()) return;
    let made = {
      Event: event,
      EventID: randomUUID(),
      UUID: visitorUUID(),
      Timestamp: new Date().toISOString(),
      Properties: properties(given),
      ...more,
    };
    if (local("oct_own")) made.OwnTraffic = true;
    waiting.push(made);
    keep(made, Date.now() + LEASE);
    if (waiting.length > MOST_KEPT) remove(waiting[0]);
    soon();
  };

  let api = {
    v: version,
    eventP: (url, given) => {
      if (typeof url == "object") { given = url; url = 0; }
      track("pageView", { url: url || location.href, ...given });
    },
    eventI: (email, given, traits) => {
      track("identify", given, { Email: email, IdentifyProperties: traits });
    },
    eventT: (event, given) => {
      track(event, given);
    },
    eventC: (id, what, value, given) => {
      track("conversion", { "conversion-id": id, "conversion-name": what, "conversion-value": value, ...given });
    },
    reset: forgetVisitor,
    optOut: () => {
      silenced = 1;
      local("oct_optout", 1);
      waiting.slice().forEach(remove);
      forgetVisitor();
    },
    optIn: () => {
      silenced = 0;
      local("oct_optout", null);
    },
  };
  window[name] = api;

  // Page views: the first, and a single-page application's, once each.
  let place = () => (option("hash") ? location.href : location.pathname + location.search);
  let seen;
  let viewed = () => {
    if (seen != place()) {
      seen = place();
      api.eventP();
    }
  };
  let watch = (method) => {
    let original = history[method];
    history[method] = function () {
      original.apply(this, arguments);
      viewed();
    };
  };
  let automatic = option("auto") != "off";
  let on = (target, type, listener) => target.addEventListener(type, listener);
  let start = () => {
    let mark = location.hash.match(/#oct-own(=off)?/);
    if (mark) local("oct_own", mark[1] ? null : 1);
    if (automatic) {
      viewed();
      ["pushState", "replaceState"].forEach(watch);
      on(window, "popstate", viewed);
      on(window, "hashchange", viewed);
    }
    (before.q || []).forEach((call) => api[call[0]](...call[1]));
    on(window, "pagehide", leave);
    on(document, "visibilitychange", () => {
      if (document.hidden) send();
    });
    on(window, "pageshow", (shown) => {
      if (shown.persisted) {
        seen = 0;
        if (automatic) viewed();
        soon();
      }
    });
    on(window, "online", () => {
      retryAt = 0;
      send();
    });
    collect();
  };
  if (document.prerendering) on(document, "prerenderingchange", start);
  else start();
})(window, document, navigator, location);
