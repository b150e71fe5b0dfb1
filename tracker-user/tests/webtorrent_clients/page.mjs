// A peer in a browser: seeds or leeches, as its task says, and reports.

import WebTorrent from '/webtorrent.mjs'

const report = what => fetch('/report', { method: 'POST', body: JSON.stringify(what) })
const fail = why => report({ error: String(why?.stack ?? why) })
window.addEventListener('error', ({ error, message }) => fail(error ?? message))
window.addEventListener('unhandledrejection', ({ reason }) => fail(reason))

const hex = bytes => Array.from(new Uint8Array(bytes), byte => byte.toString(16).padStart(2, '0')).join('')

const client = new WebTorrent({ utPex: false, tracker: { rtcConfig: { iceServers: [] } } })
client.on('error', fail)
const log = torrent => torrent.on('warning', warning => report({ warning: String(warning) }))

const { base64, torrent: options, magnet, open } = await (await fetch('/task')).json()
// A headless browser takes one page from its command line.
if (open) window.open(open, '_blank', 'noopener')
if (base64) {
  const bytes = Uint8Array.from(atob(base64), char => char.charCodeAt(0))
  const torrent = client.seed(new File([bytes], options.name), options)
  log(torrent)
  // It announces that it is complete, and then, with offers, that it has started. A leecher that comes between gets those and makes some
  // itself: of the two connections each side closes another one.
  let announced = 0
  torrent.on('trackerAnnounce', () => {
    if (++announced === 2) report({ magnet: torrent.magnetURI })
  })
} else {
  const torrent = client.add(magnet)
  log(torrent)
  torrent.on('done', async () => {
    const content = await torrent.files[0].arrayBuffer()
    report({ sha256: hex(await crypto.subtle.digest('SHA-256', content)) })
  })
}
