/** Deletes everything, as somebody who needs the room: a healthy site takes that, however full it is. */
import { inputOf } from '../history.ts'
import { readContents } from '../site-contents.ts'
import { demand } from '../violation.ts'
import type { CrashClient, Outcome } from './crash-client.ts'
import { siteName } from './crash-site.ts'

const attemptsMax = 100
const pauseMs = 50

/** @throws Violation unless every delete is taken, and a write has room in the end */
export async function emptySite(client: CrashClient): Promise<void> {
  const { model } = client.parts
  const { engine } = client.life
  for (const upload of [...model.uploads]) {
    const handle = await engine.stageUpload(upload.mutation)
    await handle.abort()
    model.uploads.delete(upload)
  }
  for (const name of model.names) {
    if (model.current(name) === undefined) continue
    const outcome = await client.change('empty', { slots: [[name, undefined]] }, () =>
      engine.deleteObject(name),
    )
    demand(outcome.kind === 'answered' && outcome.value, 'delete', () => text(outcome))
  }
  await writeAgain(client)
}

/** What was deleted gives its room back in the background. */
async function writeAgain(client: CrashClient): Promise<void> {
  const { model, history, queue } = client.parts
  const [name] = model.names
  demand(name !== undefined, 'room', () => 'there is nothing to write')
  if (name === undefined) return
  for (let attempt = 0; ; attempt++) {
    const record = history.beginPut(siteName, name, 1000)
    const intent = { slots: [[name, record] as const], bucket: [name.bucket, true] as const }
    const outcome = await client.change('room', intent, () =>
      client.life.engine.putObject({ ...name, ...inputOf(record) }),
    )
    client.note(record, outcome)
    if (outcome.kind === 'answered') return
    const say = (): string => `${text(outcome)} with ${segmentsOf(client)}`
    demand(isFull(outcome) && attempt < attemptsMax, 'room', say)
    await queue.pause(pauseMs)
  }
}

function segmentsOf({ life, parts }: CrashClient): string {
  const { segments } = readContents(parts.indexed())
  const texts = life.volume.segments().map(({ segment, generation, stream, state, bytes }) => {
    const { records = 0, bytes: live = 0 } = segments.get(segment) ?? {}
    return `${stream} ${segment}.${generation} ${state} of ${bytes}, ${records} live of ${live}`
  })
  return texts.join('; ')
}

function isFull(outcome: Outcome<unknown>): boolean {
  if (outcome.kind === 'answered') return false
  return (outcome.kind === 'refused' ? outcome : outcome.error).code === 'STORAGE_FULL'
}

function text(outcome: Outcome<unknown>): string {
  return JSON.stringify(outcome)
}
