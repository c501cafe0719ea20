/** After a remote was added: waits for a moment for what it says, so that a wrong token shows at once. */
import { setTimeout as pause } from 'node:timers/promises'
import type { AdminClient } from '../admin/client.ts'
import type { RemoteStatus } from '../admin/protocol.ts'
import { unreachable } from '../base/assert.ts'
import { printable } from './printable.ts'

/**
 * As long as the site itself waits for a connection. Beyond it the command ends: the site goes on trying,
 * and its status shows what comes of it.
 */
const waitMs = 10_000
const lookMs = 100

/** Its state as soon as it has one, or `connecting`; undefined when it was removed meanwhile. */
export async function firstAnswer(
  client: Pick<AdminClient, 'status'>,
  name: string,
): Promise<RemoteStatus | undefined> {
  const end = performance.now() + waitMs
  for (;;) {
    const { remotes } = await client.status()
    const remote = remotes.find((one) => one.name === name)
    if (remote === undefined || hasAnswered(remote) || performance.now() >= end) return remote
    await pause(lookMs)
  }
}

/** Of several addresses the first may be down: only when none of them answers is the remote away. */
function hasAnswered({ state, url }: RemoteStatus): boolean {
  return state !== 'connecting' && !(state === 'unreachable' && url.includes(', '))
}

/** What the first answer means, in a sentence. */
export function describeFirstAnswer({ name, state, last_error }: RemoteStatus): string {
  const reason = last_error === null ? '' : `: ${printable(last_error)}`
  const remote = printable(name)
  switch (state) {
    case 'idle':
    case 'streaming':
    case 'catching-up':
      return 'It has answered, and is sent what is stored here.'
    case 'full':
      return `It has answered, and has no room${reason}.`
    case 'refused':
      return `It says no${reason}.\nNothing is lost: the link goes on as soon as it says yes. A wrong token is mended with comio repl remote set ${remote} --remote-token-file FILE.`
    case 'unreachable':
      return `It does not answer${reason}.\nIt is tried until it does; a wrong address is mended with comio repl remote set ${remote} --remote-url URL.`
    case 'failing':
      return `This site cannot ship to it${reason}.`
    case 'connecting':
      return 'It has not answered yet: comio repl status shows when it does.'
    case 'paused':
    case 'disabled':
      return 'Nothing is sent to it now.'
    default:
      unreachable(state)
  }
}
