// @ts-check
/** Fills in what only the browser knows: the address that it reaches the server at, and the names of time zones. */

const address = /** @type {HTMLInputElement | null} */ (document.querySelector("input[data-address='guessed']"));
if (address) address.value = new URL("../", location.href).href.replace(/\/$/, "");

const zones = document.querySelector("datalist[data-zones]");
for (const name of zones ? Intl.supportedValuesOf("timeZone") : []) {
  const option = document.createElement("option");
  option.value = name;
  zones?.append(option);
}
