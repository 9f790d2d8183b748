// For files.py: what the AWS SDK for Go, version 2, reads in the files named on standard input.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"

	"parsers/ini"
)

func main() {
	names := bufio.NewScanner(os.Stdin)
	for names.Scan() {
		sections, err := ini.OpenFile(names.Text())
		if err != nil {
			fmt.Println("null")
			continue
		}
		read := map[string]map[string]any{}
		for _, name := range sections.List() {
			section, _ := sections.GetSection(name)
			values := map[string]any{}
			for _, key := range section.List() {
				values[key] = []any{section.String(key), section.Map(key)}
				if nested := section.Map(key); nested == nil {
					values[key] = section.String(key)
				}
			}
			read[name] = values
		}
		text, _ := json.Marshal(read)
		fmt.Println(string(text))
	}
}
