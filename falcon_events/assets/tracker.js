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

  let MOST_BYTES = 6e4; // browsers refuse keepalive requests of more than 65,536
  let MOST_KEPT = 500; // events in the outbox
  let MOMENT = 50; // how long a request waits for more events, in milliseconds
  let LEASE = 15e3; // how long other pages leave an event to the page that sends it, in milliseconds
  let ARRIVAL = 3e3; // how long other pages leave an event alone after its page has closed, in milliseconds
  let MOST_AGE = 16e7; // the age up to which an event is sent, in milliseconds: later the server may have forgotten its EventID

  // Storage may be refused, missing or full.
  let attempt = (action) => {
    try {
      return action();
    } catch (refused) {}
  };
  let local = (key, value) =>
    attempt(() =>
      value === undefined ? localStorage.getItem(key) : value === null ? localStorage.removeItem(key) : localStorage.setItem(key, value),
    );
  let cookie = () => attempt(() => document.cookie.match(uuidName + "=([^;]+)")[1]);

  // Only secure origins have crypto.randomUUID. The name of an object URL is a random UUID on every origin (File API, 8.3.1).
  let randomUUID = () => {
    let url = URL.createObjectURL(new Blob());
    URL.revokeObjectURL(url);
    return url.slice(-36);
  };

  let visitor;
  let setVisitor = (value, days) => {
    visitor = value;
    if (!persistent) return;
    if (data.storage != "local") {
      attempt(() => {
        document.cookie =
          uuidName + "=" + value + ";path=/;max-age=" + days * 86400 + ";SameSite=Lax" +
          (data.domain ? ";domain=" + data.domain : "") + (location.protocol == "https:" ? ";Secure" : "");
      });
    }
    local(uuidName, cookie() == value ? null : value || null);
  };
  let forgetVisitor = () => setVisitor("", 0);

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

  let properties = (given) => {
    let referrer = document.referrer;
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
      $referring_domain: referrer && new URL(referrer).host,
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
  let busy, timer, failures = 0, retryAt = 0;

  let keep = (event, until) => {
    if (persistent) local(prefix + event.EventID, JSON.stringify([Date.now() + until, event]));
  };
  let remove = (event) => {
    waiting = waiting.filter((other) => other != event);
    local(prefix + event.EventID, null);
  };
  // Collect events of other pages whose lease has expired. Delete all of them if the visitor has opted out.
  let collect = () => {
    let now = Date.now(), later;
    attempt(() => {
      for (let key in localStorage) {
        if (key.indexOf(prefix)) continue;
        let [until, event] = JSON.parse(local(key));
        if (isSilent() || now - new Date(event.Timestamp) > MOST_AGE) local(key, null);
        else if (waiting.every((other) => other.EventID != event.EventID)) {
          if (until > now) later = Math.min(later || LEASE, until - now);
          else {
            waiting.push(event);
            keep(event, LEASE);
          }
        }
      }
    });
    if (later) setTimeout(collect, later + 99);
    soon();
  };
  let soon = () => {
    clearTimeout(timer);
    timer = setTimeout(send, Math.max(MOMENT, retryAt - Date.now()));
  };

  // Return the events, the body and the size of the next request.
  let pack = (events, until) => {
    let size = 99, parts = [];
    for (let event of events) {
      event.Properties.$sent_at = new Date();
      let text = JSON.stringify(event);
      size += new Blob([text]).size + 1;
      if (parts[0] && size > MOST_BYTES) break;
      parts.push(text);
      keep(event, until);
    }
    return [
      events.slice(0, parts.length),
      '{"APIKey":' + JSON.stringify(data.key || "") + ',"ListID":' + list + ',"Events":[' + parts + "]}",
      size,
    ];
  };
  let send = () => {
    if (busy || !waiting[0]) return;
    busy = pack(waiting, LEASE);
    fetch(endpoint, { method: "POST", body: busy[1], credentials: "omit", keepalive: busy[2] < MOST_BYTES })
      .then((response) => {
        let status = response.status;
        if (status == 408 || status == 429 || status > 499) throw response.headers.get("Retry-After");
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
      .catch((after) => {
        after = after * 1e3 || Math.min(6e4, 500 * 2 ** failures++);
        retryAt = Date.now() + after;
        waiting.forEach((event) => keep(event, after + LEASE));
      })
      .then(() => {
        busy = 0;
        soon();
      });
  };
  // When the page closes, hand the events that are not being sent to the browser (sendBeacon). Beacons report no result, so the
  // events stay in the outbox. The next page sends them again after ARRIVAL.
  let leave = () => {
    let left = waiting.filter((event) => {
      keep(event, ARRIVAL);
      return !busy || busy[0].indexOf(event) < 0;
    });
    waiting = []; // a page that comes back collects them
    while (left[0]) {
      let packed = pack(left, ARRIVAL);
      if (!navigator.sendBeacon(endpoint, packed[1])) break;
      left = left.slice(packed[0].length);
    }
  };

  let track = (event, given, more) => {
    if (isSilent()) return;
    if (!visitor) setVisitor((persistent && (cookie() || local(uuidName))) || randomUUID(), data.days || 365);
    // Copy the arguments now, because the page may change them later. A value that JSON cannot hold raises an error here, in the
    // caller, and does not block other events.
    let made = JSON.parse(JSON.stringify({
      Event: event,
      EventID: randomUUID(),
      UUID: visitor,
      Timestamp: new Date(),
      OwnTraffic: !!local("oct_own"),
      Properties: properties(given),
      ...more,
    }));
    waiting.push(made);
    keep(made, LEASE);
    if (waiting.length > MOST_KEPT) remove(waiting[0]);
    soon();
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
    let isNew = path != newPath || (replaced != 1 && rest != newRest);
    path = newPath;
    rest = newRest;
    if (isNew && data.auto != "off") api.eventP();
  };
  let on = (target, type, listener) => target.addEventListener(type, listener);
  let start = () => {
    let mark = location.hash.match(/#oct-own(=off)?/);
    if (mark) local("oct_own", mark[1] ? null : 1);
    viewed();
    ["pushState", "replaceState"].forEach((method, replaces) => {
      let original = history[method];
      history[method] = function () {
        original.apply(this, arguments);
        viewed(replaces);
      };
    });
    on(window, "popstate", viewed);
    on(window, "hashchange", viewed);
    (before.q || []).forEach((call) => api[call[0]](...call[1]));
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
