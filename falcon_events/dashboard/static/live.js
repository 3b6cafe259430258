// @ts-check
/** Adds events to the page of live events as the server sends them. */

const list = /** @type {HTMLElement} */ (document.querySelector("#live"));
const state = /** @type {HTMLElement} */ (document.querySelector("#state"));
const pause = /** @type {HTMLButtonElement} */ (document.querySelector("#pause"));
const MOST = 300;
/** @type {string[]} the events that arrived during a pause */
let held = [];
let isPaused = false;

/** @param {string} row */
function add(row) {
  if (!row) return;
  const item = document.createElement("template");
  item.innerHTML = row.trim();
  document.querySelector("#none")?.remove();
  list.prepend(item.content);
  while (list.children.length > MOST) list.lastElementChild?.remove();
}

function showState() {
  pause.textContent = isPaused ? `Go on${held.length ? ` (${held.length} new)` : ""}` : "Pause";
  if (isPaused) state.textContent = "Paused";
}

pause.hidden = false;
pause.addEventListener("click", () => {
  isPaused = !isPaused;
  if (!isPaused) {
    held.forEach(add);
    held = [];
    state.textContent = "Live";
  }
  showState();
});

list.replaceChildren(); // the stream begins with the last events
const stream = new EventSource(new URL(list.dataset.stream ?? "", document.baseURI));
stream.addEventListener("open", () => (state.textContent = isPaused ? "Paused" : "Live"));
stream.addEventListener("message", (message) => {
  const row = JSON.parse(message.data);
  if (!isPaused) add(row);
  else if (row) held = [...held, row].slice(-MOST);
  showState();
});
stream.addEventListener("error", async () => {
  const isOver = stream.readyState === EventSource.CLOSED;
  state.textContent = isOver ? "Ended. Load the page again." : "Connecting again…";
  if (!isOver) return;
  const page = new URL(location.href);
  page.searchParams.set("part", "1");
  const answer = await fetch(page, { method: "HEAD", credentials: "same-origin" }).catch(() => null);
  if (answer?.status !== 401) return;
  const { signInAgain } = await import(/** @type {HTMLScriptElement} */ (document.querySelector("script[data-chart]")).src);
  signInAgain();
});
addEventListener("pagehide", () => stream.close());
