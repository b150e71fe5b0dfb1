// One peer has a file and another one gets it, each of them in a page of a browser or in Node.
// Arguments: the tracker's URL, who seeds and who leeches ("browser" or "node").
// Says "open" with the page that a browser has to open; it opens the other one, if there are two.

import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { say } from './say.mjs'
import { serve } from './pages.mjs'

const [url, seeder, leecher] = process.argv.slice(2)
// Not a multiple of the piece length.
const content = randomBytes(300_001)
// Private: the tracker alone introduces peers.
const torrent = { name: 'file.bin', announce: [url], private: true }

let seeds, got, failed
const magnet = new Promise(resolve => { seeds = resolve })
const sha256 = new Promise((resolve, reject) => { got = resolve; failed = reject })
const needed = {
  seed: { base64: content.toString('base64'), torrent, open: leecher === 'browser' && '/leech' },
  leech: magnet.then(magnet => ({ magnet }))
}
const origin = await serve(needed, report => {
  if (report.magnet) seeds(report.magnet)
  else if (report.sha256) got(report.sha256)
  else if (report.error) failed(new Error(`in a page: ${report.error}`))
  else console.error('from a page:', report)
})
say('open', { page: seeder === 'browser' ? `${origin}/seed` : `${origin}/leech` })

if (seeder === 'node' || leecher === 'node') {
  const peer = await import('./node_peer.mjs')
  if (seeder === 'node') peer.seed(Object.assign(content, { name: torrent.name }), torrent).then(seeds, failed)
  if (leecher === 'node') magnet.then(peer.leech).then(got, failed)
}
assert.equal(await sha256, createHash('sha256').update(content).digest('hex'))
say('exchanged')
process.exit(0)
