// @ts-check
/** Offers events, names and values in the fields of steps and conditions, and goes on with the field that a button led to. */

/**
 * Offer what the server knows for a field: `data-suggest` is the address, `data-of` or `data-of-field` says of what.
 * @param {HTMLInputElement} input
 */
function suggest(input) {
  let asked = "";
  const ask = async () => {
    const form = input.form;
    const other = input.dataset.ofField;
    const of = input.dataset.of ?? (other && form ? String(new FormData(form).get(other) ?? "").trim() : "");
    const key = `${of}\n${input.value}`;
    if (key === asked || (other && !of)) return;
    asked = key;
    const address = new URL(input.dataset.suggest ?? "", document.baseURI);
    if (of) address.searchParams.set("of", of);
    address.searchParams.set("prefix", input.value);
    const answer = await fetch(address, { credentials: "same-origin" }).catch(() => null);
    if (!answer?.ok || asked !== key) return;
    const options = new DOMParser().parseFromString(await answer.text(), "text/html").querySelectorAll("option");
    input.list?.replaceChildren(...options);
  };
  input.addEventListener("focus", ask);
  input.addEventListener("input", ask);
}

/** @param {ParentNode} root */
function prepareKinds(root) {
  for (const input of root.querySelectorAll("input[data-suggest]:not([data-ready])")) {
    input.setAttribute("data-ready", "");
    suggest(/** @type {HTMLInputElement} */ (input));
  }
}

document.addEventListener("prepared", (event) => prepareKinds(/** @type {CustomEvent<ParentNode>} */ (event).detail));
prepareKinds(document);
// A browser that scrolls to the address's fragment takes the focus from fields, and does so until the page has loaded.
addEventListener("load", () =>
  setTimeout(() => {
    if (!/^#step-[0-9]+$/.test(location.hash)) return;
    /** @type {HTMLElement | null} */ (document.querySelector(`${location.hash} input:not([type="hidden"])`))?.focus();
  }),
);
