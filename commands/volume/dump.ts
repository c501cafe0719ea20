import { Flags } from '@oclif/core'
import { BaseCommand } from '../../src/cli/base-command.ts'
import { readConfig } from '../../src/cli/read-config.ts'
import { volumeFlags } from '../../src/cli/server-flags.ts'

const kinds = [
  ...['put', 'delete', 'purge', 'bucket', 'chunk', 'upload', 'part', 'abort'],
  ...['deadletter', 'join', 'remote', 'conflict', 'resolved'],
] as const

export default class VolumeDump extends BaseCommand {
  static override summary = 'Print the records of a volume, and its damage.'

  static override description =
    'Reads the segments in the order in which they were written. What is damaged is named and skipped, ' +
    'up to the next block at which a group begins. Needs no index, no intact superblock and no volume ' +
    'that opens, and changes nothing. Exit code 1 says that something is damaged.'

  static override examples = [
    '<%= config.bin %> volume dump --storage /srv/comio | less',
    '<%= config.bin %> volume dump --key photos/cat.jpg',
    '<%= config.bin %> volume dump --segment 12 --kind put --kind delete',
    '<%= config.bin %> volume dump --json | jq -c \'select(.type == "damage")\'',
  ]

  static override flags = {
    ...volumeFlags,
    segment: Flags.integer({ summary: 'Only this segment.', helpValue: 'NUMBER', min: 0 }),
    key: Flags.string({
      summary: 'Only records that name this object, or this bucket.',
      helpValue: 'BUCKET[/KEY]',
    }),
    kind: Flags.string({
      summary: 'Only records of this kind. Repeatable.',
      options: kinds,
      multiple: true,
      multipleNonGreedy: true,
    }),
    json: Flags.boolean({ summary: 'One JSON document a line.' }),
  }

  async run(): Promise<void> {
    const { json = false, segment, key, kind = [], ...flags } = (await this.parse(VolumeDump)).flags
    const { config } = await readConfig(flags)
    const { parseObjectName, runDump } = await import('../../src/cli/run-dump.ts')
    const of = key === undefined ? undefined : parseObjectName(key)
    const exitCode = await runDump(config, { segment, kinds: kind, of }, { json })
    if (exitCode !== 0) this.exit(exitCode)
  }
}
