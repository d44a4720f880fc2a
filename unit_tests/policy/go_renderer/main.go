// Renders templates with Go's own text/template: one JSON object a line in, one answer a line out.
package main

import (
	"bufio"
	"encoding/json"
	"os"
	"strings"
	"text/template"
)

type texts = map[string]string

type Request struct {
	Host        string `json:"host"`
	Port        int    `json:"port"`
	Path        string `json:"path"`
	Method      string `json:"method"`
	Scheme      string `json:"scheme"`
	Headers     texts  `json:"headers"`
	QueryParams texts  `json:"queryParams"`
}

type Pod struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	IP        string `json:"ip"`
	Labels    texts  `json:"labels"`
}

type Profile struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
}

type Rule struct {
	Name string `json:"name"`
}

type Response struct {
	Status int `json:"status"`
}

type Root struct {
	Request         Request          `json:"request"`
	Pod             Pod              `json:"pod"`
	Profile         Profile          `json:"profile"`
	Rule            Rule             `json:"rule"`
	Inputs          map[string]texts `json:"inputs"`
	Result          string           `json:"result"`
	Response        Response         `json:"response"`
	Matched         bool             `json:"matched"`
	MatchedCriteria []string         `json:"matchedCriteria"`
}

type Task struct {
	Template string `json:"template"`
	Values   Root   `json:"values"`
}

type Answer struct {
	Stage string `json:"stage"`
	Text  string `json:"text"`
}

var functions = template.FuncMap{
	"default": func(fallback, value any) any {
		if truth, ok := template.IsTrue(value); ok && truth {
			return value
		}
		return fallback
	},
	"json": func(value any) (string, error) {
		text, err := json.Marshal(value)
		return string(text), err
	},
}

func render(task Task) Answer {
	parsed, err := template.New("t").Option("missingkey=error").Funcs(functions).Parse(task.Template)
	if err != nil {
		return Answer{"parse", err.Error()}
	}
	var out strings.Builder
	if err := parsed.Execute(&out, task.Values); err != nil {
		return Answer{"execute", err.Error()}
	}
	return Answer{"done", out.String()}
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 16<<20)
	out := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var task Task
		if err := json.Unmarshal(lines.Bytes(), &task); err != nil {
			panic(err)
		}
		if err := out.Encode(render(task)); err != nil {
			panic(err)
		}
	}
}
