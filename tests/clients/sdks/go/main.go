// A long-running program of the AWS SDK for Go, version 2, as Debian packages it: a call to STS for
// each line that it reads, with a new configuration where the line says so.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"
	_ "unsafe" // for the clock

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// The SDK's own clock, which its tests set. Go asks the kernel without the C library, where libfaketime
// cannot answer, so the same file is read here.
//
//go:linkname sdkNow github.com/aws/aws-sdk-go-v2/internal/sdk.NowTime
var sdkNow func() time.Time

func now() time.Time {
	text, err := os.ReadFile(os.Getenv("FAKETIME_TIMESTAMP_FILE"))
	if err != nil {
		panic(err)
	}
	ahead, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		panic(err)
	}
	return time.Now().Add(time.Duration(ahead) * time.Second)
}

func main() {
	sdkNow = now
	say(answer{Version: aws.SDKVersion})
	var client *sts.Client
	seen := &recorder{}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		if client == nil || lines.Text() == "anew" {
			cfg, err := config.LoadDefaultConfig(context.Background())
			if err != nil {
				say(answer{Error: err.Error()})
				continue
			}
			client = sts.NewFromConfig(cfg, endpoint, func(options *sts.Options) {
				options.HTTPClient = seen
			})
		}
		output, err := client.GetCallerIdentity(context.Background(), &sts.GetCallerIdentityInput{})
		if err != nil {
			say(answer{Error: err.Error()})
			continue
		}
		say(answer{Arn: aws.ToString(output.Arn), Key: seen.key})
	}
}

// This release does not know AWS_ENDPOINT_URL.
func endpoint(options *sts.Options) {
	options.EndpointResolver = sts.EndpointResolverFromURL(os.Getenv("AWS_ENDPOINT_URL"))
}

// Remembers what signed a request, as the request says.
type recorder struct{ key string }

var credential = regexp.MustCompile("Credential=([^/]+)")

func (seen *recorder) Do(request *http.Request) (*http.Response, error) {
	if found := credential.FindStringSubmatch(request.Header.Get("Authorization")); found != nil {
		seen.key = found[1]
	}
	return http.DefaultClient.Do(request)
}

type answer struct {
	Version string `json:"version,omitempty"`
	Arn     string `json:"arn,omitempty"`
	Key     string `json:"key,omitempty"`
	Error   string `json:"error,omitempty"`
}

func say(what answer) {
	line, err := json.Marshal(what)
	if err != nil {
		panic(err)
	}
	fmt.Println(string(line))
}
