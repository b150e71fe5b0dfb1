// What the scripts of tracker clients share: a client, what it hears, and what the test hears of it.

import { once } from 'node:events'
import { randomBytes } from 'node:crypto'
import wrtc from '@roamhq/wrtc'
import { Client } from 'bittorrent-tracker'

/** A line for the test that has started the script. */
export const say = (event, fields = {}) => console.log(JSON.stringify({ event, ...fields }))

/** Ends the script well. The addon of WebRTC has threads that would keep it alive. */
export const end = () => process.exit(0)

/** A client of one torrent. Its warnings go to the log, unless the script expects them. */
export function client (announce, infoHash, options = {}) {
  const made = new Client({
    infoHash,
    peerId: randomBytes(20).toString('hex'),
    announce,
    port: 6881,
    wrtc,
    // No STUN: the peers are on one machine.
    rtcConfig: { iceServers: [] },
    ...options
  })
  made.on('warning', warning => console.error(`warning: ${warning.message}`))
  made.on('error', error => { throw error })
  return made
}

export const infoHash = () => randomBytes(20).toString('hex')

/** The answer to what is done: listens before it asks. */
export async function answerTo (emitter, event, ask) {
  const answer = once(emitter, event)
  ask()
  return (await answer)[0]
}
