import { Flags } from '@oclif/core'
import { BaseCommand } from '../../src/cli/base-command.ts'
import { writeJson, writeResult, writeWarning } from '../../src/cli/output.ts'
import { readConfig } from '../../src/cli/read-config.ts'
import { volumeFlags } from '../../src/cli/server-flags.ts'

export default class VolumeInfo extends BaseCommand {
  static override summary = 'Show what a volume is and what it holds.'

  static override description =
    'Reads superblock, headers and the totals of the index, and changes nothing. Meant for a volume ' +
    'that no site is running on; while one is, what the index knows is left out. The volume is that ' +
    'of --storage, or of the configuration that comio server would start with.'

  static override examples = [
    '<%= config.bin %> volume info',
    '<%= config.bin %> volume info --storage /srv/comio',
    '<%= config.bin %> volume info --config config.yaml --json | jq .log.dead_bytes',
  ]

  static override flags = {
    ...volumeFlags,
    json: Flags.boolean({ summary: 'Print it as JSON.' }),
  }

  async run(): Promise<void> {
    const { json, ...flags } = (await this.parse(VolumeInfo)).flags
    const { config } = await readConfig(flags)
    const { volumeInfo } = await import('../../src/server/offline/volume-info.ts')
    const info = await volumeInfo(config)
    if (json) {
      writeJson(info)
      return
    }
    const { formatVolumeInfo, warningsOf } = await import('../../src/cli/format-volume-info.ts')
    writeResult(formatVolumeInfo(info))
    for (const warning of warningsOf(info)) writeWarning(warning)
  }
}
