import { Flags } from '@oclif/core'
import { BaseCommand } from '../../src/cli/base-command.ts'
import { writeJson, writeResult, writeWarning } from '../../src/cli/output.ts'
import { readConfig } from '../../src/cli/read-config.ts'
import { serverFlags } from '../../src/cli/server-flags.ts'

export default class ConfigShow extends BaseCommand {
  static override summary = 'Print the configuration that a site would start with.'

  static override description =
    'Every key with its effective value, and who set it: a flag, an environment variable, a line ' +
    'of the file, or the default. Secrets are masked. Takes the flags of comio server, to see what ' +
    'they change.'

  static override examples = [
    '<%= config.bin %> config show',
    '<%= config.bin %> config show --config config.yaml --port 9000',
    "<%= config.bin %> config show --json | jq '.sources'",
  ]

  static override flags = {
    json: Flags.boolean({ summary: 'Print values, sources and warnings as JSON.' }),
    ...serverFlags,
  }

  async run(): Promise<void> {
    const { json, ...flags } = (await this.parse(ConfigShow)).flags
    const loaded = await readConfig(flags)
    const { configDocument, explainConfig } = await import('../../src/config/explain-config.ts')
    if (json) {
      writeJson(configDocument(loaded))
      return
    }
    writeResult(explainConfig(loaded))
    for (const warning of loaded.warnings) writeWarning(warning)
  }
}
