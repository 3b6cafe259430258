// The tracker sends what happens on a page as events to POST /api/v1/events.
// It writes each event to the outbox (localStorage) before sending it, and removes the event when the server has replied. So no
// event is lost with the page. An event that is sent again has the same EventID, so the server stores it once.
((window, document, navigator, location) => {
  let script = document.currentScript;
  let data = script.dataset; // the options: docs/tracker.md
  let name = data.object || "oct";
  let before = window[name] || {};
  if (before.v) return; // the page has the snippet twice

  let version = VERSION; // replaced by tools/minify_tracker.py
  let list = data.list;
  let endpoint = new URL(data.endpoint || "api/v1/events", script.src);
  let origin = endpoint.origin;
  let persistent = data.storage != "none";
  let prefix = "oct_" + list + "_";
  let uuidName = "oct_uuid";

  const MOST_BYTES = 6e4; // browsers refuse keepalive requests of more than 65,536
  const MOST_KEPT = 500; // events in the outbox
  const MOST_CHARS = 1e6; // of the outbox in localStorage: browsers give a site 2.5 to 5 million
  const MOMENT = 50; // how long a request waits for more events, in milliseconds
  const TITLE = 1e3; // how long a page view waits for the page's title, in milliseconds: applications set it after pushState
  const LEASE = 15e3; // how long other pages leave an event to the page that sends it, in milliseconds
  const ARRIVAL = 3e3; // how long other pages leave an event alone after its page has closed, in milliseconds
  const MOST_AGE = 16e7; // the age up to which an event is sent, in milliseconds: later the server may have forgotten its EventID

  // Storage may be refused, missing or full.
  let attempt = (action) => {
    try {
      return action();
    } catch (refused) {}
  };
  let local = (key, value) =>
    attempt(() =>
      value ? localStorage.setItem(key, value) : value === null ? localStorage.removeItem(key) : localStorage.getItem(key),
    );
  // Other scripts may write anything to the places where a UUID is kept.
  let uuidIn = (text, before) => (RegExp(before + "([\\da-f]{8}(-[\\da-f]{4}){3}-[\\da-f]{12})(;|$)", "i").exec(text) || [])[1];
  let cookie = () => attempt(() => uuidIn(document.cookie, "(?:^|; )" + uuidName + "="));

  // Return the JSON of a value, whatever toJSON other scripts have added to Array or Object. Half of a surrogate pair, which
  // JSON.stringify escapes, becomes U+FFFD.
  let stringify = (value) =>
    JSON.stringify(value, function (key, given) {
      let own = this[key];
      return Array.isArray(own) || (own && own.toJSON == Object.prototype.toJSON) ? own : given;
    }).replace(/\\(ud[89a-f]..|.)/g, (escape, code) => (code[4] ? "\ufffd" : escape));
  let now = () => new Date().toISOString(); // scripts of old replace Date.prototype.toJSON, too

  // Only secure origins have crypto.randomUUID. The name of an object URL is a random UUID on every origin (File API, 8.3.1).
  let randomUUID = () => {
    let url = URL.createObjectURL(new Blob());
    URL.revokeObjectURL(url);
    return url.slice(-36);
  };

  let visitor;
  let setCookie = (value, days, domain) =>
    attempt(() => {
      document.cookie =
        uuidName + "=" + value + ";path=/;max-age=" + days * 86400 + ";SameSite=Lax" +
        (domain ? ";domain=" + domain : "") + (location.protocol == "https:" ? ";Secure" : "");
    });
  let setVisitor = (value) => {
    visitor = value;
    if (!persistent) return;
    if (data.storage != "local") {
      if (data.domain) setCookie("", 0); // of the time before this option was set
      setCookie(value, data.days || 365, data.domain);
    }
    local(uuidName, cookie() == value ? null : value);
  };
  // Pages of one site may set the cookie for their host, or for any domain above it.
  let forgetVisitor = () => {
    visitor = "";
    local(uuidName, null);
    ("." + location.hostname).split(".").forEach((_, level, names) => setCookie("", 0, names.slice(level + 1).join(".")));
  };

  let silenced; // opted out on a page without storage
  let isSilent = () =>
    silenced || local("oct_optout") || (data.dnt != "ignore" && (navigator.doNotTrack == 1 || navigator.globalPrivacyControl));

  // The browser and the device.
  let agent = navigator.userAgent;
  let found = (pattern) => agent.match(pattern) || [""];
  let browser = found(/(Edg|OPR|SamsungBrowser|FxiOS|Firefox|CriOS)\w*\/([\d.]+)/);
  if (!browser[1]) browser = found(/(Chrome|Version)\/([\d.]+)/);
  let browsers = { Edg: "Edge", OPR: "Opera", FxiOS: "Firefox", CriOS: "Chrome", Version: "Safari", SamsungBrowser: "Samsung Internet" };
  let device = found(/iPhone|iPad|Android|Windows|Mac|CrOS|Linux(?!.*Android)/)[0];
  let systems = { iPhone: "iOS", iPad: "iOS", Mac: "macOS", CrOS: "Chrome OS" };

  let referrer = document.referrer; // later the page before, in a single-page application
  let properties = (given) => {
    return {
      $browser: browsers[browser[1]] || browser[1] || "",
      $browser_language: navigator.language,
      $browser_version: browser[2] || "",
      $current_url: location.href,
      $device: device,
      $device_type: found(/iPad|Tablet|Android(?!.*Mobile)/)[0] ? "Tablet" : found("Mobi")[0] ? "Mobile" : "Desktop",
      $dsn: origin + "/" + list,
      $host: location.host,
      $lib: "falcon-events",
      $lib_version: version,
      $list_id: +list,
      $os: systems[device] || device,
      $pageTitle: document.title,
      $pathname: location.pathname,
      $referrer: referrer,
      $referring_domain: attempt(() => new URL(referrer).host) || "",
      $screen_height: screen.height,
      $screen_width: screen.width,
      $server: origin,
      $uuid: visitor,
      $viewport_height: innerHeight,
      $viewport_width: innerWidth,
      ...(referrer ? 0 : { $direct: true }),
      ...given,
    };
  };

  // The outbox: events in order. Each is also stored under its own key in localStorage.
  let waiting = [];
  let view; // the page view whose title may still change
  let busy, stopped, timer, limit = MOST_KEPT, failures = 0, retryAt = 0, heldUntil = 0;

  let keep = (event, until) => {
    let text = stringify([Date.now() + until, event]);
    if (persistent && text.length < MOST_CHARS) local(prefix + event.EventID, text);
  };
  let remove = (event) => {
    waiting = waiting.filter((other) => other != event);
    local(prefix + event.EventID, null);
  };
  let eachKept = (action) =>
    attempt(() => {
      for (let key in localStorage) key.indexOf(prefix) || action(key, local(key));
    });
  let isFull = () => {
    let size = 0;
    eachKept((key, text) => (size += text.length));
    return size > MOST_CHARS || waiting.length > MOST_KEPT;
  };
  // Collect events of other pages whose lease has expired. Delete malformed entries, and all of them if the visitor has opted out.
  let collect = () => {
    let now = Date.now(), later;
    eachKept((key, text) => {
      let until, event;
      let isValid = attempt(() => {
        [until, event] = JSON.parse(text);
        return (
          text.length < MOST_CHARS &&
          uuidIn(key, "^" + prefix) && key == prefix + event.EventID && Object(event.Properties) === event.Properties &&
          Math.abs(now - new Date(event.Timestamp)) < MOST_AGE
        );
      });
      if (!isValid || isSilent()) local(key, null);
      else if (waiting.every((other) => other.EventID != event.EventID)) {
        if (until > now) later = Math.min(later || LEASE, until - now);
        else {
          waiting.push(event);
          keep(event, LEASE);
        }
      }
    });
    if (later) setTimeout(collect, later + 99);
    soon();
  };
  let soon = () => {
    clearTimeout(timer);
    timer = setTimeout(send, Math.max(MOMENT, Math.max(retryAt, heldUntil) - Date.now()));
  };

  // Return the events, the body and the size of the next request.
  let setTitle = () => {
    if (view) view.Properties.$pageTitle = document.title;
  };
  let pack = (events, until) => {
    let size = 99, parts = [];
    setTitle();
    for (let event of events) {
      event.Properties.$sent_at = now();
      let text = stringify(event);
      size += new Blob([text]).size + 1;
      if (parts[0] && size > MOST_BYTES) break;
      parts.push(text);
      keep(event, until);
    }
    return [
      events.slice(0, parts.length),
      '{"APIKey":' + stringify(data.key || "") + ',"ListID":' + list + ',"Events":[' + parts + "]}",
      size,
    ];
  };
  // A request that fails is halved, so that what one event contains keeps no other back. While requests fail, the newest event is
  // sent first.
  let send = async () => {
    if (stopped || busy || !waiting[0]) return;
    busy = pack(waiting.slice(-limit), LEASE);
    let [events, body, size] = busy;
    let status, after;
    try {
      let response = await fetch(endpoint, { method: "POST", body, credentials: "omit", keepalive: size < MOST_BYTES });
      status = response.status;
      after = response.headers.get("Retry-After");
      let answer = await response.json();
      let refusal = (answer.Errors || [0])[0];
      stopped = /^9999[7-9]/.test(refusal.Code); // the key or the origin: nothing else would be accepted
      if (stopped) console.warn(name, refusal.Message);
      else {
        events.forEach((event, number) => {
          let errors = answer.Results[number].Errors;
          if (errors) console.warn(name, event.Event, errors);
          if (errors && errors[0].Code > 1e5) after = Math.min(60, 2 ** failures); // not this event's fault
          else remove(event);
        });
        failures = after && failures + 1;
        limit *= 2;
        retryAt = after && Date.now() + after * 1e3;
      }
    } catch (failed) {
      let isRefused = /^4(?!08|2[59])/.test(status);
      limit = events.length >> 1 || 1;
      if (!isRefused || !events[1]) {
        after = after > 0 ? after * 1e3 : Math.min(6e4, 500 * 2 ** failures++);
        retryAt = Date.now() + after;
        if (isRefused) {
          console.warn(name, events[0].Event, status);
          remove(events[0]);
        } else if (!events[1]) waiting.sort((one, other) => (other == events[0]) - (one == events[0])); // to the front
        waiting.forEach((event) => keep(event, after + LEASE));
      }
    }
    busy = 0;
    soon();
  };
  // When the page closes, hand the events that are not being sent to the browser (sendBeacon). Beacons report no result, so the
  // events stay in the outbox. The next page sends them again after ARRIVAL.
  let leave = () => {
    let left = waiting.filter((event) => {
      keep(event, ARRIVAL);
      return !busy || busy[0].indexOf(event) < 0;
    });
    waiting = []; // a page that comes back collects them
    while (left[0] && !stopped) {
      let packed = pack(left, ARRIVAL);
      if (!attempt(() => navigator.sendBeacon(endpoint, packed[1]))) break;
      left = left.slice(packed[0].length);
    }
  };

  let track = (event, given, more) => {
    if (isSilent()) return;
    if (!visitor) setVisitor((persistent && (cookie() || uuidIn(local(uuidName), "^"))) || randomUUID());
    // Copy the arguments now, because the page may change them later. A value that JSON cannot hold raises an error here, in the
    // caller, and does not block other events.
    let made = JSON.parse(stringify({
      Event: event,
      EventID: randomUUID(),
      UUID: visitor,
      Timestamp: now(),
      OwnTraffic: !!local("oct_own"),
      Properties: properties(given),
      ...more,
    }));
    waiting.push(made);
    keep(made, LEASE);
    while (waiting[1] && isFull()) remove(waiting[0]);
    soon();
    return made;
  };

  let api = (window[name] = {
    v: version,
    eventP: (url, given) => {
      if (Object(url) === url) return api.eventP(0, url);
      track("pageView", { url: url || location.href, ...given });
    },
    eventI: (email, given, traits) => track("identify", given, { Email: email, IdentifyProperties: traits }),
    eventT: (event, given) => track(event, given),
    eventC: (id, what, value, given) =>
      track("conversion", { "conversion-id": id, "conversion-name": what, "conversion-value": value, ...given }),
    reset: forgetVisitor,
    optOut: () => {
      silenced = 1;
      local("oct_optout", 1);
      waiting = [];
      collect();
      forgetVisitor();
    },
    optIn: () => {
      silenced = 0;
      local("oct_optout", null);
    },
  });

  // Page views: the first, and each one of a single-page application. A replaced state counts only if its path is new.
  let path, rest;
  let viewed = (replaced) => {
    let newPath = location.pathname;
    let newRest = location.search + ("hash" in data ? location.hash : "");
    if (path != newPath || (replaced != 1 && rest != newRest)) {
      setTitle(); // no application has set the new page's title yet
      if (path) referrer = location.origin + path + rest;
      if (data.auto != "off") {
        heldUntil = Date.now() + TITLE;
        view = track("pageView", { url: location.href });
      }
    }
    path = newPath;
    rest = newRest;
  };
  let on = (target, type, listener) => target.addEventListener(type, listener, true); // before the application's listeners
  let start = () => {
    let mark = location.hash.match(/#oct-own(=off)?/);
    if (mark) local("oct_own", mark[1] ? null : 1);
    viewed();
    ["pushState", "replaceState"].forEach((method, replaces) => {
      let original = history[method];
      history[method] = function () {
        original.apply(this, arguments);
        attempt(() => viewed(replaces));
      };
    });
    on(window, "popstate", viewed);
    on(window, "hashchange", viewed);
    (before.q || []).forEach(async (call) => api[call[0]](...call[1])); // if one throws, the others run
    on(window, "pagehide", leave);
    on(document, "visibilitychange", () => document.hidden && send());
    on(window, "pageshow", (shown) => {
      if (shown.persisted) {
        path = 0;
        viewed();
        collect();
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
