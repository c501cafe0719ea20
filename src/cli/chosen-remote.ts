import type { AdminClient } from '../admin/client.ts'
import { UsageError } from './errors.ts'
import { printable } from './printable.ts'

/** What the short form of the configuration calls its remote. */
const shortFormName = 'default'

/** The remote that is named, or else the only one there is. @throws UsageError */
export async function chosenRemote(
  client: Pick<AdminClient, 'remotes'>,
  name: string | undefined,
): Promise<string> {
  if (name !== undefined) return name
  const names = (await client.remotes()).remotes.map((remote) => remote.name)
  const [first] = names
  if (first === undefined) {
    throw new UsageError('this site ships to nobody: there is no remote to name')
  }
  if (names.length === 1) return first
  if (names.includes(shortFormName)) return shortFormName
  const hint = `It ships to ${names.map(printable).join(', ')}.`
  throw new UsageError('this site ships to several remotes: name one', { hint })
}
