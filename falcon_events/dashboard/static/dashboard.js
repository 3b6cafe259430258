// @ts-check
/** Loads the parts of a page, writes numbers in the browser's language, and draws charts. Every page works without it. */

const script = /** @type {HTMLScriptElement} */ (document.querySelector("script[data-chart]"));
const numbers = new Intl.NumberFormat(undefined, { maximumFractionDigits: 2 });
const shares = new Intl.NumberFormat(undefined, { style: "percent", maximumFractionDigits: 1 });
/** The parameters of the address that the page was loaded with. */
const loaded = new URLSearchParams(location.search);
/** @type {WeakMap<Element, string>} the addresses that the server wrote into links and fields */
const written = new WeakMap();
document.documentElement.classList.add("scripted");

/**
 * Write a number as people read it.
 * @param {number} value
 * @param {string} form number, share or seconds
 */
export function formatNumber(value, form) {
  if (form === "share") return shares.format(value);
  if (form !== "seconds") return numbers.format(value);
  const whole = Math.round(value);
  for (const [unitS, unit, partS, part] of /** @type {[number, string, number, string][]} */ ([
    [86400, "d", 3600, "h"],
    [3600, "h", 60, "min"],
    [60, "min", 1, "s"],
  ])) {
    const rest = Math.floor((whole % unitS) / partS);
    if (whole >= unitS) return `${Math.floor(whole / unitS)} ${unit}${rest ? ` ${rest} ${part}` : ""}`;
  }
  return `${whole} s`;
}

/**
 * Make what a server sent work: numbers, buttons for copying, parts and charts.
 * @param {ParentNode} root
 */
export function prepare(root) {
  for (const data of root.querySelectorAll("data[data-form]")) {
    data.textContent = formatNumber(Number(data.getAttribute("value")), data.getAttribute("data-form") ?? "number");
  }
  for (const time of root.querySelectorAll("time[data-ago]")) time.textContent = formatAgo(time.getAttribute("datetime") ?? "");
  for (const pre of root.querySelectorAll("pre[data-address]")) completeAddress(/** @type {HTMLElement} */ (pre));
  for (const pre of root.querySelectorAll("pre[data-copy]")) addCopyButton(/** @type {HTMLElement} */ (pre));
  for (const form of root.querySelectorAll("form[data-submit-on-change]")) {
    form.addEventListener("change", () => /** @type {HTMLFormElement} */ (form).requestSubmit());
  }
  for (const form of root.querySelectorAll("form[data-confirm]")) {
    form.addEventListener("submit", (event) => {
      if (!confirm(form.getAttribute("data-confirm") ?? "")) event.preventDefault();
    });
  }
  for (const part of root.querySelectorAll("[data-part]")) {
    if (part.hasAttribute("data-lazy")) inView.observe(part);
    else load(/** @type {HTMLElement} */ (part));
  }
  carry(root);
  for (const tab of root.querySelectorAll("a[data-tab]")) tab.addEventListener("click", showTab);
  for (const input of root.querySelectorAll("input[data-values]")) suggestValues(/** @type {HTMLInputElement} */ (input));
  for (const input of root.querySelectorAll("input[data-offer]")) {
    input.addEventListener("focus", () => offer(/** @type {HTMLInputElement} */ (input)), { once: true });
  }
  const charts = root.querySelectorAll("[data-chart]:not(script)");
  if (charts.length) {
    import(new URL(script.dataset.chart ?? "", document.baseURI).href).then((module) => {
      for (const chart of charts) module.draw(chart, script.dataset.uplot);
    });
  }
  document.dispatchEvent(new CustomEvent("prepared", { detail: root }));
}

/** @param {string} moment */
function formatAgo(moment) {
  const seconds = (Date.parse(moment) - Date.now()) / 1000;
  const ago = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });
  for (const [unit, length] of /** @type {[Intl.RelativeTimeFormatUnit, number][]} */ ([
    ["day", 86400],
    ["hour", 3600],
    ["minute", 60],
  ])) {
    if (Math.abs(seconds) >= length) return ago.format(Math.round(seconds / length), unit);
  }
  return ago.format(Math.round(seconds), "second");
}

/** @param {HTMLElement} pre */
function addCopyButton(pre) {
  const text = pre.textContent ?? "";
  const button = document.createElement("button");
  button.className = "copy";
  button.type = "button";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      const range = document.createRange();
      range.selectNodeContents(pre);
      getSelection()?.removeAllRanges();
      getSelection()?.addRange(range);
      button.textContent = "Selected: press Ctrl+C";
    }
    setTimeout(() => (button.textContent = "Copy"), 2000);
  });
  pre.append(button);
}

/**
 * Write the whole address in place of the one that only this site understands.
 * @param {HTMLElement} pre
 */
function completeAddress(pre) {
  const address = pre.dataset.address ?? "";
  pre.textContent = (pre.textContent ?? "").replace(address, () => new URL(address, document.baseURI).href);
}

/** Loads parts that are far down when they come into view. */
const inView = new IntersectionObserver(
  (entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      inView.unobserve(entry.target);
      load(/** @type {HTMLElement} */ (entry.target));
    }
  },
  { rootMargin: "300px" },
);

/** @type {WeakMap<Element, AbortController>} */
const loading = new WeakMap();

/**
 * Load a part of the page. While the server takes its time, show how long, and a button that stops it.
 * @param {HTMLElement} part
 */
export async function load(part) {
  loading.get(part)?.abort();
  const stopper = new AbortController();
  loading.set(part, stopper);
  const began = performance.now();
  const isFirst = !part.childElementCount || part.querySelector(".without-script");
  const waiting = document.createElement("p");
  waiting.className = "waiting-line";
  waiting.setAttribute("role", "status");
  const seconds = document.createElement("span");
  const stop = document.createElement("button");
  stop.type = "button";
  stop.textContent = "Stop";
  stop.addEventListener("click", () => stopper.abort());
  waiting.append(document.createElement("progress"), seconds, stop);
  /** @type {HTMLProgressElement} */ (waiting.firstElementChild).setAttribute("aria-label", `Loading ${part.dataset.name ?? ""}`);
  const ticking = setInterval(() => {
    const taken = Math.round((performance.now() - began) / 1000);
    seconds.textContent = `${taken} s`;
    if (taken >= 1 && !waiting.isConnected) isFirst ? part.replaceChildren(waiting) : part.prepend(waiting);
  }, 500);
  part.setAttribute("aria-busy", "true");
  const address = new URL(part.dataset.part ?? "", document.baseURI);
  address.searchParams.set("part", "1");
  try {
    const answer = await fetch(address, { signal: stopper.signal, credentials: "same-origin", redirect: "error" });
    if (answer.status === 401 && signInAgain()) return;
    const text = await answer.text();
    if (loading.get(part) !== stopper) return;
    if (part.dataset.every && !answer.ok) return;
    part.innerHTML = text;
    prepare(part);
  } catch (error) {
    if (loading.get(part) !== stopper || part.dataset.every) return;
    const stopped = stopper.signal.aborted;
    const line = document.createElement("p");
    line.className = "waiting-line";
    const again = document.createElement("button");
    again.type = "button";
    again.textContent = "Ask again";
    again.addEventListener("click", () => load(part));
    line.append(stopped ? "Stopped." : "The server did not answer.", again);
    part.replaceChildren(line);
  } finally {
    clearInterval(ticking);
    waiting.remove();
    if (loading.get(part) === stopper) part.removeAttribute("aria-busy");
    if (part.dataset.every && part.isConnected) {
      const again = () => part.isConnected && load(part);
      const look = () => (document.hidden ? document.addEventListener("visibilitychange", again, { once: true }) : again());
      setTimeout(look, Number(part.dataset.every) * 1000);
    }
  }
}

/** Go to the form for signing in, which says why and leads back to this page. Return whether there is one. */
export function signInAgain() {
  const form = document.documentElement.dataset.signIn;
  if (!form) return false;
  const next = `./${location.pathname.split("/").pop()}${location.search}`;
  location.replace(new URL(`${form}?${new URLSearchParams({ next })}`, document.baseURI));
  return true;
}

/**
 * Show another tab of a part in place; the page's address says which.
 * @param {Event} event
 */
function showTab(event) {
  const mouse = /** @type {MouseEvent} */ (event);
  const tab = /** @type {HTMLAnchorElement} */ (event.currentTarget);
  const card = tab.closest(".card");
  const part = /** @type {HTMLElement | null} */ (card?.querySelector("[data-part]") ?? tab.closest("[data-part]"));
  if (!part || mouse.ctrlKey || mouse.metaKey || mouse.shiftKey || mouse.button) return;
  event.preventDefault();
  for (const other of tab.parentElement?.children ?? []) other.removeAttribute("aria-current");
  tab.setAttribute("aria-current", "true");
  history.pushState(null, "", mergeAddress(tab.href));
  carry(document);
  part.dataset.part = tab.dataset.tab ?? "";
  load(part);
}

/**
 * Have the links and forms that keep this page's parameters also keep what was chosen since it was loaded. The attribute
 * `data-here` of a link names the parameter that it changes itself.
 * @param {ParentNode} root
 */
export function carry(root) {
  const here = new URLSearchParams(location.search);
  const changed = [...new Set([...loaded.keys(), ...here.keys()])].filter(
    (name) => JSON.stringify(loaded.getAll(name)) !== JSON.stringify(here.getAll(name)),
  );
  for (const one of root.querySelectorAll("a[data-here], input[data-here]")) {
    const attribute = one.localName === "a" ? "href" : "value";
    const text = written.get(one) ?? one.getAttribute(attribute) ?? "";
    written.set(one, text);
    if (!changed.length || new URL(text, document.baseURI).pathname !== location.pathname) continue;
    const [, path, query, hash] = /^([^?#]*)\??([^#]*)(.*)$/.exec(text) ?? [];
    const kept = new URLSearchParams(query);
    for (const name of changed) {
      if (name === one.getAttribute("data-here")) continue;
      kept.delete(name);
      for (const value of here.getAll(name)) kept.append(name, value);
    }
    one.setAttribute(attribute, `${path}?${kept}${hash}`);
  }
  for (const form of root.querySelectorAll("form[data-here]")) {
    for (const name of changed) {
      const fields = [.../** @type {NodeListOf<HTMLInputElement>} */ (form.querySelectorAll(`[name="${CSS.escape(name)}"]`))];
      if (fields.some((field) => field.type !== "hidden")) continue;
      for (const field of fields) field.remove();
      for (const value of here.getAll(name)) {
        form.prepend(Object.assign(document.createElement("input"), { type: "hidden", name, value }));
      }
    }
  }
}

/**
 * Return the address of this page with what a tab's link changes in it.
 * @param {string} href the tab's own link
 */
function mergeAddress(href) {
  const here = new URL(location.href);
  const link = new URL(href);
  if (link.pathname !== here.pathname) return here.href;
  for (const [name, value] of link.searchParams) if (!["filter", "list"].includes(name)) here.searchParams.set(name, value);
  return here.href;
}

/**
 * Offer the values of the dimension that a filter's form names.
 * @param {HTMLInputElement} input
 */
function suggestValues(input) {
  const form = input.form;
  const list = form?.querySelector(`#${input.getAttribute("list")}`);
  let asked = "";
  const ask = async () => {
    const dimension = String(new FormData(/** @type {HTMLFormElement} */ (form)).get("dimension") ?? "").trim();
    const key = `${dimension}\n${input.value}`;
    if (!dimension || key === asked) return;
    asked = key;
    const address = new URL(input.dataset.values ?? "", document.baseURI);
    address.searchParams.set("of", dimension);
    address.searchParams.set("prefix", input.value);
    const answer = await fetch(address, { credentials: "same-origin" }).catch(() => null);
    if (!answer?.ok || asked !== key) return;
    const options = new DOMParser().parseFromString(await answer.text(), "text/html").querySelectorAll("option");
    list?.replaceChildren(...options);
  };
  input.addEventListener("focus", ask);
  input.addEventListener("input", ask);
}

/**
 * Fill the list of a field with what the server offers.
 * @param {HTMLInputElement} input
 */
async function offer(input) {
  const answer = await fetch(new URL(input.dataset.offer ?? "", document.baseURI), { credentials: "same-origin" }).catch(() => null);
  if (!answer?.ok) return;
  const options = new DOMParser().parseFromString(await answer.text(), "text/html").querySelectorAll("option");
  input.list?.replaceChildren(...options);
}

addEventListener("popstate", () => location.reload());
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    menu.removeAttribute("open");
    /** @type {HTMLElement | null} */ (menu.querySelector("summary"))?.focus();
  }
});
document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(/** @type {Node} */ (event.target))) menu.removeAttribute("open");
  }
});
prepare(document);
