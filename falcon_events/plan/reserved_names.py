"""Names that the tracker's object cannot have: JavaScript's reserved words, and the properties of every window."""

_RESERVED_WORDS = """
break case catch class const continue debugger default delete do else enum export extends false finally for function if
import in instanceof new null return super switch this throw true try typeof var void while with implements interface
let package private protected public static yield await undefined arguments globalThis NaN Infinity
"""
_WINDOW_PROPERTIES = """
addEventListener alert atob blur btoa caches cancelAnimationFrame cancelIdleCallback captureEvents clearInterval
clearTimeout clientInformation close closed confirm console cookieStore createImageBitmap crossOriginIsolated crypto
customElements decodeURI decodeURIComponent devicePixelRatio dispatchEvent document encodeURI encodeURIComponent escape
eval event external fetch focus frameElement frames getComputedStyle getSelection history indexedDB innerHeight
innerWidth isFinite isNaN isSecureContext length localStorage location locationbar matchMedia menubar moveBy moveTo name
navigator onabort onafterprint onanimationcancel onanimationend onanimationiteration onanimationstart onauxclick
onbeforeinput onbeforematch onbeforeprint onbeforetoggle onbeforeunload onblur oncancel oncanplay oncanplaythrough
onchange onclick onclose oncontextlost oncontextmenu oncontextrestored oncopy oncuechange oncut ondblclick
ondevicemotion ondeviceorientation ondeviceorientationabsolute ondrag ondragend ondragenter ondragleave ondragover
ondragstart ondrop ondurationchange onemptied onended onerror onfocus onformdata ongamepadconnected
ongamepaddisconnected ongotpointercapture onhashchange oninput oninvalid onkeydown onkeypress onkeyup onlanguagechange
onload onloadeddata onloadedmetadata onloadstart onlostpointercapture onmessage onmessageerror onmousedown onmouseenter
onmouseleave onmousemove onmouseout onmouseover onmouseup onoffline ononline onorientationchange onpagehide onpagereveal
onpageshow onpageswap onpaste onpause onplay onplaying onpointercancel onpointerdown onpointerenter onpointerleave
onpointermove onpointerout onpointerover onpointerrawupdate onpointerup onpopstate onprogress onratechange
onrejectionhandled onreset onresize onscroll onscrollend onsecuritypolicyviolation onseeked onseeking onselect
onselectionchange onselectstart onslotchange onstalled onstorage onsubmit onsuspend ontimeupdate ontoggle ontouchcancel
ontouchend ontouchmove ontouchstart ontransitioncancel ontransitionend ontransitionrun ontransitionstart
onunhandledrejection onunload onvolumechange onwaiting onwebkitanimationend onwebkitanimationiteration
onwebkitanimationstart onwebkittransitionend onwheel open opener orientation origin originAgentCluster outerHeight
outerWidth pageXOffset pageYOffset parent parseFloat parseInt performance personalbar postMessage print prompt
queueMicrotask releaseEvents removeEventListener reportError requestAnimationFrame requestIdleCallback resizeBy resizeTo
screen screenLeft screenTop screenX screenY scroll scrollBy scrollTo scrollX scrollY scrollbars self sessionStorage
setInterval setTimeout speechSynthesis status statusbar stop structuredClone toString toolbar top unescape
visualViewport webkitURL window
"""
"""The properties that begin with a lower-case letter, from the TypeScript compiler's lib.dom.d.ts and lib.es5.d.ts."""
RESERVED_NAMES = frozenset((_RESERVED_WORDS + _WINDOW_PROPERTIES).split())
