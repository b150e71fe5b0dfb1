// A peer in Node, with the browsers' WebRTC in an addon.

import { createHash } from 'node:crypto'
import { tmpdir } from 'node:os'
import { promisify } from 'node:util'
import wrtc from '@roamhq/wrtc'
import WebTorrent from 'webtorrent'

const start = () => {
  const client = new WebTorrent({
    dht: false,
    lsd: false,
    utp: false,
    tracker: { wrtc, rtcConfig: { iceServers: [] } }
  })
  client.on('error', error => { throw error })
  return client
}
const log = torrent => torrent.on('warning', warning => console.error(`warning: ${warning.message}`))

/** Returns the magnet link when it has announced itself, which this version does once. */
export const seed = (content, options) => new Promise(resolve => {
  const torrent = start().seed(content, { ...options, path: tmpdir() })
  log(torrent)
  torrent.once('trackerAnnounce', () => resolve(torrent.magnetURI))
})

/** Returns the hash of what it got. */
export const leech = magnet => new Promise((resolve, reject) => {
  const torrent = start().add(magnet, { path: tmpdir() })
  log(torrent)
  torrent.on('done', () => {
    const [file] = torrent.files
    promisify(file.getBuffer.bind(file))().then(content => {
      resolve(createHash('sha256').update(content).digest('hex'))
    }, reject)
  })
})
