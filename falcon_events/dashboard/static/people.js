// @ts-check
/** Offers names and values in the forms for segments, and says how many people a condition would leave. */

let lists = 0;

/**
 * Fetch a part of a page.
 * @param {URL} address
 */
async function fetchPart(address) {
  address.searchParams.set("part", "1");
  const answer = await fetch(address, { credentials: "same-origin" }).catch(() => null);
  return answer?.ok ? new DOMParser().parseFromString(await answer.text(), "text/html") : null;
}

/**
 * Offer what the list has for a field.
 * @param {HTMLInputElement} input
 */
function suggest(input) {
  const base = input.dataset.suggestions ?? input.closest("[data-suggestions]")?.getAttribute("data-suggestions") ?? "";
  const list = document.createElement("datalist");
  list.id = `suggestions-${++lists}`;
  input.after(list);
  input.setAttribute("list", list.id);
  let asked = "";
  const ask = async () => {
    const scope = input.closest("fieldset") ?? input.form;
    const address = new URL(base, document.baseURI);
    address.searchParams.set("of", input.dataset.suggest ?? "");
    address.searchParams.set("prefix", input.value);
    const event = /** @type {HTMLInputElement | null} */ (input.form?.querySelector("[name=event]"));
    if (event && event !== input) address.searchParams.set("event", event.value);
    if (input.dataset.of) {
      const named = /** @type {HTMLInputElement | null} */ (scope?.querySelector(`[name=${input.dataset.of}]`));
      if (!named?.value) return;
      address.searchParams.set("name", (input.dataset.prefix ?? "") + named.value);
    }
    if (asked === address.href) return;
    const key = (asked = address.href);
    const found = await fetchPart(address);
    if (found && asked === key) list.replaceChildren(...found.querySelectorAll("option"));
  };
  input.addEventListener("focus", ask);
  input.addEventListener("input", ask);
}

/**
 * Say how many people there would be with the condition that a form describes.
 * @param {HTMLFormElement} form
 * @param {string} base
 */
function preview(form, base) {
  const shown = form.querySelector("output.preview");
  let latest = 0;
  form.addEventListener("change", async () => {
    const mine = ++latest;
    if (!shown || !form.checkValidity()) return;
    const address = new URL(base, document.baseURI);
    for (const field of form.elements) {
      const one = /** @type {HTMLInputElement} */ (field);
      if (one.name && (one.type !== "hidden" || one.name === "add")) address.searchParams.append(one.name, one.value);
    }
    shown.textContent = "…";
    const found = await fetchPart(address);
    if (mine === latest) shown.textContent = found?.querySelector(".count")?.textContent ?? "";
  });
}

/** @param {ParentNode} root */
function enhance(root) {
  for (const input of root.querySelectorAll("input[data-suggest]")) suggest(/** @type {HTMLInputElement} */ (input));
  for (const adders of root.querySelectorAll("[data-count]")) {
    for (const form of adders.querySelectorAll("form")) preview(form, adders.getAttribute("data-count") ?? "");
    for (const one of adders.querySelectorAll("details")) {
      one.addEventListener("toggle", () => {
        if (!one.open) return;
        for (const other of adders.querySelectorAll("details[open]")) if (other !== one) other.removeAttribute("open");
        /** @type {HTMLElement | null} */ (one.querySelector("input:not([type=hidden]), select"))?.focus();
      });
    }
  }
}

document.addEventListener("prepared", (event) => enhance(/** @type {CustomEvent<ParentNode>} */ (event).detail));
if (document.documentElement.classList.contains("scripted")) enhance(document);
