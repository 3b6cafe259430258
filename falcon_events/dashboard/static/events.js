// @ts-check
/** Finds event types and properties while one writes, and opens a property in place. */

const frame = /** @type {HTMLScriptElement} */ (document.querySelector("script[data-chart]"));
/** @type {Promise<{ load: (part: HTMLElement) => Promise<void>, carry: (root: ParentNode) => void }>} */
const dashboard = import(frame.src);
const WAIT_MS = 250;

/** @param {ParentNode} root */
function prepare(root) {
  for (const form of root.querySelectorAll("form[data-search]")) searchWhileWriting(/** @type {HTMLFormElement} */ (form));
  for (const link of root.querySelectorAll("a[data-open]")) link.addEventListener("click", open);
}

/** @param {HTMLFormElement} form */
function searchWhileWriting(form) {
  const input = form.querySelector("input[type=search]");
  const part = /** @type {HTMLElement | null} */ (document.querySelector(`#${form.dataset.search || "none"} [data-part]`));
  if (!input || !part) return;
  let waiting = 0;
  const search = async () => {
    const text = /** @type {HTMLInputElement} */ (input).value;
    const here = new URL(location.href);
    const there = new URL(part.dataset.part ?? "", document.baseURI);
    if (text === (there.searchParams.get("search") ?? "")) return;
    for (const address of [here, there]) {
      address.searchParams.delete("page");
      if (text) address.searchParams.set("search", text);
      else address.searchParams.delete("search");
    }
    history.replaceState(null, "", here);
    part.dataset.part = there.href;
    const { carry, load } = await dashboard;
    carry(document);
    load(part);
  };
  input.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(search, WAIT_MS);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    clearTimeout(waiting);
    search();
  });
}

/**
 * Show the property of a link in its place; the page's address says which.
 * @param {Event} event
 */
async function open(event) {
  const mouse = /** @type {MouseEvent} */ (event);
  const link = /** @type {HTMLAnchorElement} */ (event.currentTarget);
  const place = document.getElementById("property");
  if (!place || mouse.ctrlKey || mouse.metaKey || mouse.shiftKey || mouse.button) return;
  event.preventDefault();
  for (const other of document.querySelectorAll("a[data-open][aria-current]")) other.removeAttribute("aria-current");
  link.setAttribute("aria-current", "true");
  const here = new URL(location.href);
  here.searchParams.set("property", new URL(link.href).searchParams.get("property") ?? "");
  history.pushState(null, "", here);
  const part = /** @type {HTMLElement} */ (place.querySelector(".part"));
  part.dataset.part = link.dataset.open;
  part.dataset.name = "Property";
  const { carry, load } = await dashboard;
  carry(document);
  await load(part);
  place.focus({ preventScroll: true });
  place.scrollIntoView({ block: "nearest" });
}

document.addEventListener("prepared", (event) => prepare(/** @type {CustomEvent<ParentNode>} */ (event).detail));
prepare(document);
