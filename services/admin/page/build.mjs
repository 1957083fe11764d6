// Bundles src/ with esbuild into the folder of the first argument, with the licences of what is bundled. Run by
// bundle.py, in a folder below which node_modules is.

import { build } from 'esbuild'
import { cp, mkdir, readFile, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

const out = process.argv[2]
const { metafile } = await build({
  entryPoints: ['src/main.js', 'src/enter.js', 'src/style.css'],
  outdir: join(out, 'assets'), bundle: true, splitting: true, format: 'esm', target: 'es2022', minify: true,
  chunkNames: '[name]-[hash]', legalComments: 'none', metafile: true, logLevel: 'warning',
})
for (const name of await readdir('src')) if (name.endsWith('.html')) await cp(join('src', name), join(out, name))

const folders = new Set(Object.keys(metafile.inputs)
  .map((input) => input.match(/^.*node_modules\/(?:@[^/]+\/)?[^/]+/)?.[0]).filter(Boolean))
const parts = []
for (const folder of [...folders].sort()) {
  const { name, version, license, homepage, repository } = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8'))
  parts.push(`${name} ${version}, ${license}\nSource: ${homepage ?? repository?.url ?? name}`)
  for await (const file of walk(folder)) parts.push(`--- ${name}: ${file.slice(folder.length + 1)}\n${await readFile(file, 'utf8')}`)
}
await mkdir(out, { recursive: true })
await writeFile(join(out, 'licenses.txt'), parts.join('\n\n'))

async function* walk(folder) {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) yield* walk(path)
    else if (/^(licen[cs]e|authors|copying)/i.test(entry.name)) yield path
  }
}
