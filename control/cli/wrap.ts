// Owns breaking sentences into the lines of a terminal.

/** Narrower than this, breaking makes it worse. */
const COLUMNS_MIN = 20;

/** Broken at spaces; lines after the first begin `indent` columns further right, where the first one begins too. */
export function wrapped(text: string, indent: number, columns: number | undefined): string {
  if (columns === undefined || columns - indent < COLUMNS_MIN) return text;
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > columns - indent) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line].join(`\n${' '.repeat(indent)}`);
}
